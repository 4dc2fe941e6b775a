#include <immintrin.h>

#include "pyane/base/ceiling_kernels.h"

namespace pyane {

std::size_t round_trip_avx2(const std::uint16_t* source, std::uint16_t* target, std::size_t n) {
  std::size_t i = 0;
  for (; i + 64 <= n; i += 64) {
#pragma GCC unroll 8
    for (std::size_t k = i; k < i + 64; k += 8) {
      const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + k));
      const __m256 wide = _mm256_cvtph_ps(half);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(target + k),
                       _mm256_cvtps_ph(wide, _MM_FROUND_TO_NEAREST_INT));
    }
  }
  return i;
}

}  // namespace pyane
