#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "pyane/base/dtype.h"

namespace pyane::mil {

enum class NumberStatus : std::uint8_t {
  kOk,
  kMalformed,   ///< No number: `1.2.3`, `0x`, `1e`.
  kNotInteger,  ///< A fraction, exponent or hexadecimal number where an integer must stand.
  kOutOfRange,  ///< Beyond the type's largest values.
  kNoInfinity,  ///< `inf` for a type without one, and `nan` for an integer.
};

/// Converts number text to one element of `dtype`: decimal, hexadecimal floating point (0x1.8p-3),
/// `inf`, `nan` with or without a minus sign.
///
/// Floats are the value of `dtype` nearest to the text, ties to even, in one rounding from the
/// exact number written, however long; numbers too small become zero or subnormal.
/// @param target  dtype_size(dtype) bytes, written in the machine's (little endian) order.
NumberStatus parse_number(std::string_view text, DType dtype, std::byte* target);

/// Text of one number, to be read back to the same bits (NaN: to a quiet NaN of that sign).
enum class FloatStyle : std::uint8_t {
  kHexadecimal,  ///< `0x1.8p-3`
  kDecimal,      ///< With 15 or 17 significant digits: append_decimal.
};
void append_number(std::string& out, DType dtype, const std::byte* source, FloatStyle style);

/// Values an integer type can hold.
struct IntegerRange {
  std::int64_t low;
  std::uint64_t high;
};
IntegerRange integer_range(DType dtype);

}  // namespace pyane::mil
