#include <immintrin.h>

#include "pyane/base/ceiling_kernels.h"

namespace pyane {

std::size_t round_trip_avx512(const std::uint16_t* source, std::uint16_t* target, std::size_t n) {
  std::size_t i = 0;
  for (; i + 64 <= n; i += 64) {
#pragma GCC unroll 4
    for (std::size_t k = i; k < i + 64; k += 16) {
      const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source + k));
      const __m512 wide = _mm512_cvtph_ps(half);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(target + k),
                          _mm512_cvtps_ph(wide, _MM_FROUND_TO_NEAREST_INT));
    }
  }
  return i;
}

}  // namespace pyane
