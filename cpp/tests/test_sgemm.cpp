#include <vector>

#include "check.h"
#include "pyane/base/error.h"
#include "pyane/linalg/sgemm.h"

#if !defined(__APPLE__)
extern "C" int scipy_openblas_get_num_threads();
#endif

using pyane::linalg::sgemm;
using pyane::linalg::Transpose;

namespace {

// Small integers: every sum is exact, so the result is known to the bit.
void test_all_transposes() {
  constexpr int m = 7;
  constexpr int n = 5;
  constexpr int k = 19;
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      const int lda = (ta ? m : k) + 3;
      const int ldb = (tb ? k : n) + 2;
      const int ldc = n + 1;
      std::vector<float> a(static_cast<std::size_t>(lda * (ta ? k : m)));
      std::vector<float> b(static_cast<std::size_t>(ldb * (tb ? n : k)));
      std::vector<float> c(static_cast<std::size_t>(ldc * m), 2.0F);
      for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 11) - 5.0F;
      for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i % 7) - 3.0F;
      sgemm(ta ? Transpose::kYes : Transpose::kNo, tb ? Transpose::kYes : Transpose::kNo, m, n, k,
            2.0F, a.data(), lda, b.data(), ldb, -1.0F, c.data(), ldc);
      for (int i = 0; i < m; ++i) {
        for (int j = 0; j < n; ++j) {
          float sum = 0;
          for (int l = 0; l < k; ++l) {
            sum += a[static_cast<std::size_t>(ta ? l * lda + i : i * lda + l)] *
                   b[static_cast<std::size_t>(tb ? j * ldb + l : l * ldb + j)];
          }
          CHECK(c[static_cast<std::size_t>(i * ldc + j)] == 2.0F * sum - 2.0F);
        }
        CHECK(c[static_cast<std::size_t>(i * ldc + n)] == 2.0F);  // Past the row: untouched.
      }
    }
  }
}

void test_arguments() {
  std::vector<float> x(16, 1.0F);
  const auto run = [&](int m, int n, int k, int lda, int ldb, int ldc) {
    sgemm(Transpose::kNo, Transpose::kNo, m, n, k, 1.0F, x.data(), lda, x.data(), ldb, 0.0F,
          x.data(), ldc);
  };
  CHECK_THROWS(pyane::ShapeError, run(-1, 2, 2, 2, 2, 2));
  CHECK_THROWS(pyane::ShapeError, run(2, 2, 2, 1, 2, 2));
  CHECK_THROWS(pyane::ShapeError, run(2, 2, 2, 2, 1, 2));
  CHECK_THROWS(pyane::ShapeError, run(2, 2, 2, 2, 2, 1));
  run(0, 2, 2, 2, 2, 2);
}

#if !defined(__APPLE__)
// Our own threads decide what runs side by side: BLAS must not start as many on each of them.
void test_blas_stays_on_the_calling_thread() {
  std::vector<float> x(64, 1.0F);
  sgemm(Transpose::kNo, Transpose::kNo, 8, 8, 8, 1.0F, x.data(), 8, x.data(), 8, 0.0F, x.data(), 8);
  CHECK(scipy_openblas_get_num_threads() == 1);
}
#endif

}  // namespace

int main() {
#if !defined(__APPLE__)
  test_blas_stays_on_the_calling_thread();
#endif
  test_all_transposes();
  test_arguments();
  return 0;
}
