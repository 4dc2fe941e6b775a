#pragma once

#include <cstdint>
#include <optional>

#include "pyane/base/dtype.h"

// The binary floating-point formats of MIL, as bits: one description each, one exact conversion in
// each direction. For literals in the text; bulk conversion of tensors is in base/half.h.

namespace pyane::mil {

struct FloatFormat {
  int mantissa_bits;  ///< Stored ones, without the implicit bit.
  int bias;
  int bits;
  std::uint64_t largest;  ///< Bits of the largest finite value.
  std::uint64_t infinity;
  std::uint64_t nan;  ///< Quiet, positive.
  bool has_infinity;
};

/// @param dtype  One for which is_float() holds.
const FloatFormat& float_format(DType dtype);

/// A non-negative number mantissa * 2^exponent, plus something between 0 and one unit of the
/// mantissa's last place when `is_inexact`.
struct ScaledInteger {
  std::uint64_t mantissa = 0;
  std::int64_t exponent = 0;
  bool is_inexact = false;
};

/// The nearest value of the format, ties to even, in one rounding. nullopt when that is beyond the
/// largest finite value. Inexact numbers need a mantissa with more bits than the format has.
std::optional<std::uint64_t> round_to_format(ScaledInteger number, const FloatFormat& format);

/// Exact, for every format. NaN loses its payload.
double float_value(std::uint64_t bits, const FloatFormat& format);

}  // namespace pyane::mil
