#pragma once

#include <bit>
#include <cstdint>

#include "pyane/train/vectorize.h"

namespace pyane {

/// exp(x) for x <= 0, as softmax needs it: relative error below 1.5 * 2^-23 for x >= -87, exactly 0
/// below. NaN stays NaN. Branch-free, so that loops over it vectorise.
///
/// x = n * ln 2 + r with |r| <= ln 2 / 2, and exp(r) by its Taylor polynomial of degree 7, whose
/// remainder (0.347^8 / 8! = 5e-9) is below fp32's rounding. ln 2 is subtracted in two parts, the
/// first short enough for n times it to be exact.
PYANE_INLINE inline float exp_nonpositive(float x) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2High = 0.693145752F;
  constexpr float kLn2Low = 1.42860677e-6F;
  // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low mantissa bits.
  constexpr float kRound = 12582912.0F;
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.0F / 5040.0F;
  p = p * r + 1.0F / 720.0F;
  p = p * r + 1.0F / 120.0F;
  p = p * r + 1.0F / 24.0F;
  p = p * r + 1.0F / 6.0F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const std::uint32_t two_to_n = (std::bit_cast<std::uint32_t>(shifted) << 23) + 0x3F800000U;
  return x < -87.0F ? 0.0F : p * std::bit_cast<float>(two_to_n);
}

}  // namespace pyane
