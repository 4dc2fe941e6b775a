#include <immintrin.h>

#include "pyane/linalg/gemm_kernel.h"

namespace pyane::linalg {
namespace {

using Vector = __m512;
constexpr int kLanes = 16;
// Some of these CPUs load little more than one whole vector (or broadcast) a cycle, for two
// multiply-adds: 10 loads for 24 are within that, 16 for 28 (a tile of 14 x 2) are not.
constexpr int kMr = 6;
constexpr int kNrVectors = 4;

inline __mmask16 first(int n) { return static_cast<__mmask16>((1U << n) - 1); }

inline Vector splat(float x) { return _mm512_set1_ps(x); }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }

inline Vector load(const float* p) { return _mm512_loadu_ps(p); }
inline Vector load_part(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
inline void store(float* p, Vector v) { _mm512_storeu_ps(p, v); }
inline void store_part(float* p, Vector v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }

inline Vector load(const std::uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline Vector load_part(const std::uint16_t* p, int n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p));
}
inline __m256i narrow(Vector v) { return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); }
inline void store(std::uint16_t* p, Vector v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(v));
}
inline void store_part(std::uint16_t* p, Vector v, int n) {
  _mm256_mask_storeu_epi16(p, first(n), narrow(v));
}

#include "pyane/linalg/gemm_kernel_impl.h"

}  // namespace

const GemmKernel kGemmKernelAvx512 = kKernel;

}  // namespace pyane::linalg
