#include <immintrin.h>

#include "pyane/base/half_kernels.h"

namespace pyane {
namespace {

// Both sides are fetched this far ahead: what the caches do by themselves leaves a sixth of the
// second-level cache's bandwidth unused. Bytes.
constexpr std::size_t kAhead = 512;
// Streams read several pages at a time, as the caches fetch ahead within a page only. Elements of
// fp32 to a page.
constexpr std::size_t kPage = 1024;
constexpr std::size_t kPages = 4;

template <typename T>
void fetch_ahead(const T* at) {
  _mm_prefetch(reinterpret_cast<const char*>(at) + kAhead, _MM_HINT_T0);
}

__m512 widened(const std::uint16_t* source) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(source)));
}

/// 32 elements, a cache line of fp16.
__m512i narrowed(const float* source) {
  const __m256i low = _mm512_cvtps_ph(_mm512_loadu_ps(source), _MM_FROUND_TO_NEAREST_INT);
  const __m256i high = _mm512_cvtps_ph(_mm512_loadu_ps(source + 16), _MM_FROUND_TO_NEAREST_INT);
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

/// Calls convert(i) for every 32 elements, page beside page, and returns how far that went.
template <typename Convert>
std::size_t by_pages(std::size_t n, const Convert& convert) {
  std::size_t i = 0;
  for (; i + kPages * kPage <= n; i += kPages * kPage) {
    for (std::size_t j = 0; j < kPage; j += 32) {
      for (std::size_t page = 0; page < kPages; ++page) convert(i + page * kPage + j);
    }
  }
  for (; i + 32 <= n; i += 32) convert(i);
  _mm_sfence();
  return i;
}

}  // namespace

void half_to_float_avx512(const std::uint16_t* source, float* target, std::size_t n) {
  std::size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    fetch_ahead(source + i);
    fetch_ahead(target + i);
    fetch_ahead(target + i + 16);
    _mm512_storeu_ps(target + i, widened(source + i));
    _mm512_storeu_ps(target + i + 16, widened(source + i + 16));
  }
  for (; i < n; i += 16) {
    const auto mask = static_cast<__mmask16>(n - i < 16 ? (1U << (n - i)) - 1 : 0xFFFFU);
    const __m256i half = _mm256_maskz_loadu_epi16(mask, source + i);
    _mm512_mask_storeu_ps(target + i, mask, _mm512_cvtph_ps(half));
  }
}

void float_to_half_avx512(const float* source, std::uint16_t* target, std::size_t n) {
  std::size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    fetch_ahead(source + i);
    fetch_ahead(source + i + 16);
    fetch_ahead(target + i);
    _mm512_storeu_si512(target + i, narrowed(source + i));
  }
  for (; i < n; i += 16) {
    const auto mask = static_cast<__mmask16>(n - i < 16 ? (1U << (n - i)) - 1 : 0xFFFFU);
    const __m512 value = _mm512_maskz_loadu_ps(mask, source + i);
    _mm256_mask_storeu_epi16(target + i, mask, _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
  }
}

void half_to_float_stream_avx512(const std::uint16_t* source, float* target, std::size_t n) {
  const std::size_t head = (64 - reinterpret_cast<std::uintptr_t>(target) % 64) % 64 / 4;
  if (reinterpret_cast<std::uintptr_t>(target) % 4 != 0 || n < head + 32) {
    return half_to_float_avx512(source, target, n);
  }
  half_to_float_avx512(source, target, head);
  const std::size_t done =
      head + by_pages(n - head, [&](std::size_t i) {
        _mm512_stream_ps(target + head + i, widened(source + head + i));
        _mm512_stream_ps(target + head + i + 16, widened(source + head + i + 16));
      });
  half_to_float_avx512(source + done, target + done, n - done);
}

void float_to_half_stream_avx512(const float* source, std::uint16_t* target, std::size_t n) {
  const std::size_t head = (64 - reinterpret_cast<std::uintptr_t>(target) % 64) % 64 / 2;
  if (reinterpret_cast<std::uintptr_t>(target) % 2 != 0 || n < head + 32) {
    return float_to_half_avx512(source, target, n);
  }
  float_to_half_avx512(source, target, head);
  const std::size_t done = head + by_pages(n - head, [&](std::size_t i) {
                             _mm512_stream_si512(reinterpret_cast<__m512i*>(target + head + i),
                                                 narrowed(source + head + i));
                           });
  float_to_half_avx512(source + done, target + done, n - done);
}

}  // namespace pyane
