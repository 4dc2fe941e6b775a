#include <immintrin.h>

#include "pyane/base/half_kernels.h"

namespace pyane {
namespace {

inline __m256 widen(const std::uint16_t* source) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
}

inline void narrow(const float* source, std::uint16_t* target) {
  const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(source), _MM_FROUND_TO_NEAREST_INT);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(target), half);
}

}  // namespace

void half_to_float_avx2(const std::uint16_t* source, float* target, std::size_t n) {
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(target + i, widen(source + i));
  if (i < n) {
    std::uint16_t rest[8] = {};
    float wide[8];
    __builtin_memcpy(rest, source + i, (n - i) * sizeof(std::uint16_t));
    _mm256_storeu_ps(wide, widen(rest));
    __builtin_memcpy(target + i, wide, (n - i) * sizeof(float));
  }
}

void float_to_half_avx2(const float* source, std::uint16_t* target, std::size_t n) {
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) narrow(source + i, target + i);
  if (i < n) {
    float rest[8] = {};
    std::uint16_t half[8];
    __builtin_memcpy(rest, source + i, (n - i) * sizeof(float));
    narrow(rest, half);
    __builtin_memcpy(target + i, half, (n - i) * sizeof(std::uint16_t));
  }
}

}  // namespace pyane
