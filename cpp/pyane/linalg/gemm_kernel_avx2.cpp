#include <immintrin.h>

#include "pyane/linalg/gemm_kernel.h"

namespace pyane::linalg {
namespace {

using Vector = __m256;
constexpr int kLanes = 8;
// 12 sums, 2 columns and a row's element out of 16 registers.
constexpr int kMr = 6;
constexpr int kNrVectors = 2;

inline Vector splat(float x) { return _mm256_set1_ps(x); }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }

inline __m256i first(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline Vector load(const float* p) { return _mm256_loadu_ps(p); }
inline Vector load_part(const float* p, int n) { return _mm256_maskload_ps(p, first(n)); }
inline void store(float* p, Vector v) { _mm256_storeu_ps(p, v); }
inline void store_part(float* p, Vector v, int n) { _mm256_maskstore_ps(p, first(n), v); }

inline Vector load(const std::uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline Vector load_part(const std::uint16_t* p, int n) {
  std::uint16_t part[kLanes] = {};
  for (int i = 0; i < n; ++i) part[i] = p[i];
  return load(part);
}
inline void store(std::uint16_t* p, Vector v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
inline void store_part(std::uint16_t* p, Vector v, int n) {
  std::uint16_t part[kLanes];
  store(part, v);
  for (int i = 0; i < n; ++i) p[i] = part[i];
}

#include "pyane/linalg/gemm_kernel_impl.h"

}  // namespace

const GemmKernel kGemmKernelAvx2 = kKernel;

}  // namespace pyane::linalg
