#include <arm_neon.h>

#include "pyane/base/ceiling_kernels.h"

namespace pyane {

std::size_t round_trip_neon(const std::uint16_t* source, std::uint16_t* target, std::size_t n) {
  std::size_t i = 0;
  for (; i + 64 <= n; i += 64) {
#pragma GCC unroll 16
    for (std::size_t k = i; k < i + 64; k += 4) {
      const float32x4_t wide = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(source + k)));
      vst1_u16(target + k, vreinterpret_u16_f16(vcvt_f16_f32(wide)));
    }
  }
  return i;
}

#if defined(__ARM_FEATURE_DOTPROD)
double dot_products_neon(std::int64_t rounds, int* sink) {
  constexpr int kChains = 16;
  const int8x16_t factor = vdupq_n_s8(1);
  int32x4_t chains[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) chains[i] = vdupq_n_s32(i);  // Else one is kept.
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) chains[i] = vdotq_s32(chains[i], factor, factor);
  }
  int32x4_t sum = chains[0];
#pragma GCC unroll 16
  for (int i = 1; i < kChains; ++i) sum = vaddq_s32(sum, chains[i]);
  sink[0] = vgetq_lane_s32(sum, 0);
  return static_cast<double>(rounds) * kChains * 16;
}
#endif

}  // namespace pyane
