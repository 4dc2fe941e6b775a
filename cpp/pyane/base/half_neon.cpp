#include <arm_neon.h>

#include "pyane/base/half_kernels.h"

namespace pyane {
namespace {

inline float32x4_t widen(const std::uint16_t* source) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(source)));
}

inline void narrow(const float* source, std::uint16_t* target) {
  vst1_u16(target, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(source))));
}

}  // namespace

void half_to_float_neon(const std::uint16_t* source, float* target, std::size_t n) {
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) vst1q_f32(target + i, widen(source + i));
  if (i < n) {
    std::uint16_t rest[4] = {};
    float wide[4];
    __builtin_memcpy(rest, source + i, (n - i) * sizeof(std::uint16_t));
    vst1q_f32(wide, widen(rest));
    __builtin_memcpy(target + i, wide, (n - i) * sizeof(float));
  }
}

void float_to_half_neon(const float* source, std::uint16_t* target, std::size_t n) {
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) narrow(source + i, target + i);
  if (i < n) {
    float rest[4] = {};
    std::uint16_t half[4];
    __builtin_memcpy(rest, source + i, (n - i) * sizeof(float));
    narrow(rest, half);
    __builtin_memcpy(target + i, half, (n - i) * sizeof(std::uint16_t));
  }
}

}  // namespace pyane
