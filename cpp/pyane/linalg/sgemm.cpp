#include "pyane/linalg/sgemm.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <string>
#include <thread>

#include "pyane/base/error.h"

#if defined(__APPLE__)
#include <Accelerate/Accelerate.h>
#else
// The wheel's symbols carry a prefix, so that they do not meet those of another BLAS.
extern "C" {
void scipy_cblas_sgemm(int order, int transpose_a, int transpose_b, int m, int n, int k,
                       float alpha, const float* a, int lda, const float* b, int ldb, float beta,
                       float* c, int ldc);
void scipy_openblas_set_num_threads(int n);
}
#endif

namespace pyane::linalg {
namespace {

// BLAS itself prints to stderr when an argument is wrong.
int check(std::int64_t value, std::int64_t least, const char* name) {
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  if (value < least || value > kMost) {
    throw ShapeError(std::string("sgemm: ") + name + " must be from " + std::to_string(least) +
                     " to " + std::to_string(kMost) + ", got " + std::to_string(value));
  }
  return static_cast<int>(value);
}

// A child of fork() inherits the locks of threads inside BLAS (or in its first-use initialisation),
// but not the threads that would release them. So fork() waits until nobody is inside.
std::atomic<int> n_inside{0};
std::atomic<int> n_forking{0};
// Registered when the library is loaded: at first use, fork() could come in between.
[[maybe_unused]] const int registered = pthread_atfork(
    [] {
      n_forking.fetch_add(1);
      while (n_inside.load() != 0) std::this_thread::yield();
    },
    [] { n_forking.fetch_sub(1); },
    [] {
      n_forking.store(0);
      n_inside.store(0);
    });

class InsideBlas {
 public:
  InsideBlas() {
    n_inside.fetch_add(1);
    while (n_forking.load() != 0) {
      n_inside.fetch_sub(1);
      while (n_forking.load() != 0) std::this_thread::yield();
      n_inside.fetch_add(1);
    }
  }
  ~InsideBlas() { n_inside.fetch_sub(1); }
  InsideBlas(const InsideBlas&) = delete;
  InsideBlas& operator=(const InsideBlas&) = delete;
};

}  // namespace

void sgemm(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
           std::int64_t k, float alpha, const float* a, std::int64_t lda, const float* b,
           std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  const bool ta = transpose_a == Transpose::kYes;
  const bool tb = transpose_b == Transpose::kYes;
  const int rows = check(m, 0, "m");
  const int cols = check(n, 0, "n");
  const int depth = check(k, 0, "k");
  const std::int64_t one = 1;
  const int step_a = check(lda, std::max(one, ta ? m : k), "lda");
  const int step_b = check(ldb, std::max(one, tb ? k : n), "ldb");
  const int step_c = check(ldc, std::max(one, n), "ldc");
  if (rows == 0 || cols == 0) return;
  const InsideBlas inside;
#if defined(__APPLE__)
  cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, rows,
              cols, depth, alpha, a, step_a, b, step_b, beta, c, step_c);
#else
  constexpr int kRowMajor = 101;
  constexpr int kNoTrans = 111;
  constexpr int kTrans = 112;
  // Our own pools decide what runs side by side; the sum's order must not depend on the machine.
  static const bool single_threaded = [] {
    scipy_openblas_set_num_threads(1);
    return true;
  }();
  static_cast<void>(single_threaded);
  scipy_cblas_sgemm(kRowMajor, ta ? kTrans : kNoTrans, tb ? kTrans : kNoTrans, rows, cols, depth,
                    alpha, a, step_a, b, step_b, beta, c, step_c);
#endif
}

}  // namespace pyane::linalg
