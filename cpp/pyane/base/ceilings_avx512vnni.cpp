#include <immintrin.h>

#include "pyane/base/ceiling_kernels.h"

namespace pyane {

double dot_products_avx512(std::int64_t rounds, int* sink) {
  constexpr int kChains = 16;  // Latency times throughput, and some.
  const __m512i factor = _mm512_set1_epi8(1);
  __m512i chains[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) chains[i] = _mm512_set1_epi32(i);  // Else one is kept.
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) {
      // The intrinsic makes gcc copy every sum to another register and back.
      asm("vpdpbusd %1, %1, %0" : "+v"(chains[i]) : "v"(factor));
    }
  }
  __m512i sum = chains[0];
#pragma GCC unroll 16
  for (int i = 1; i < kChains; ++i) sum = _mm512_add_epi32(sum, chains[i]);
  sink[0] = _mm512_cvtsi512_si32(sum);
  return static_cast<double>(rounds) * kChains * 64;
}

}  // namespace pyane
