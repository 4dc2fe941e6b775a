#include <immintrin.h>

#include "pyane/base/half_kernels.h"

namespace pyane {

void half_to_float_avx512(const std::uint16_t* source, float* target, std::size_t n) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source + i));
    _mm512_storeu_ps(target + i, _mm512_cvtph_ps(half));
  }
  if (i < n) {
    const auto mask = static_cast<__mmask16>((1U << (n - i)) - 1);
    const __m256i half = _mm256_maskz_loadu_epi16(mask, source + i);
    _mm512_mask_storeu_ps(target + i, mask, _mm512_cvtph_ps(half));
  }
}

void float_to_half_avx512(const float* source, std::uint16_t* target, std::size_t n) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256i half = _mm512_cvtps_ph(_mm512_loadu_ps(source + i), _MM_FROUND_TO_NEAREST_INT);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(target + i), half);
  }
  if (i < n) {
    const auto mask = static_cast<__mmask16>((1U << (n - i)) - 1);
    const __m512 value = _mm512_maskz_loadu_ps(mask, source + i);
    _mm256_mask_storeu_epi16(target + i, mask, _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
  }
}

void half_to_float_stream_avx512(const std::uint16_t* source, float* target, std::size_t n) {
  const std::size_t head = (64 - reinterpret_cast<std::uintptr_t>(target) % 64) % 64 / 4;
  if (reinterpret_cast<std::uintptr_t>(target) % 4 != 0 || n < head + 16) {
    return half_to_float_avx512(source, target, n);
  }
  half_to_float_avx512(source, target, head);
  std::size_t i = head;
  for (; i + 16 <= n; i += 16) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source + i));
    _mm512_stream_ps(target + i, _mm512_cvtph_ps(half));
  }
  _mm_sfence();
  half_to_float_avx512(source + i, target + i, n - i);
}

void float_to_half_stream_avx512(const float* source, std::uint16_t* target, std::size_t n) {
  const std::size_t head = (64 - reinterpret_cast<std::uintptr_t>(target) % 64) % 64 / 2;
  if (reinterpret_cast<std::uintptr_t>(target) % 2 != 0 || n < head + 32) {
    return float_to_half_avx512(source, target, n);
  }
  float_to_half_avx512(source, target, head);
  std::size_t i = head;
  for (; i + 32 <= n; i += 32) {
    const __m256i low = _mm512_cvtps_ph(_mm512_loadu_ps(source + i), _MM_FROUND_TO_NEAREST_INT);
    const __m256i high =
        _mm512_cvtps_ph(_mm512_loadu_ps(source + i + 16), _MM_FROUND_TO_NEAREST_INT);
    // Whole cache lines: half of one would be written to memory twice.
    _mm512_stream_si512(reinterpret_cast<__m512i*>(target + i),
                        _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
  }
  _mm_sfence();
  float_to_half_avx512(source + i, target + i, n - i);
}

}  // namespace pyane
