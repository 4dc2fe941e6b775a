#include "pyane/mil/float_format.h"

#include <bit>
#include <cassert>
#include <cmath>
#include <limits>

namespace pyane::mil {
namespace {

constexpr FloatFormat kFp16{10, 15, 16, 0x7BFF, 0x7C00, 0x7E00, true};
constexpr FloatFormat kBf16{7, 127, 16, 0x7F7F, 0x7F80, 0x7FC0, true};
constexpr FloatFormat kFp32{23, 127, 32, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, true};
constexpr FloatFormat kFp64{
    52, 1023, 64, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0x7FF8000000000000, true};
// OCP 8-bit floating point: e4m3fn has no infinity, its largest exponent holds numbers.
constexpr FloatFormat kFp8E4M3FN{3, 7, 8, 0x7E, 0, 0x7F, false};
constexpr FloatFormat kFp8E5M2{2, 15, 8, 0x7B, 0x7C, 0x7E, true};

}  // namespace

const FloatFormat& float_format(DType dtype) {
  switch (dtype) {
    case DType::kFp16:
      return kFp16;
    case DType::kBf16:
      return kBf16;
    case DType::kFp32:
      return kFp32;
    case DType::kFp8E4M3FN:
      return kFp8E4M3FN;
    case DType::kFp8E5M2:
      return kFp8E5M2;
    default:
      assert(dtype == DType::kFp64);
      return kFp64;
  }
}

std::optional<std::uint64_t> round_to_format(ScaledInteger number, const FloatFormat& format) {
  if (number.mantissa == 0) return 0;
  const int shift = std::countl_zero(number.mantissa);
  const std::uint64_t mantissa = number.mantissa << shift;  // 1.f, its point after bit 63
  const std::int64_t exponent = number.exponent - shift + 63;
  const std::int64_t smallest_normal = 1 - format.bias;
  if (exponent > format.bias + 1) return std::nullopt;
  if (exponent < smallest_normal - format.mantissa_bits - 1) return 0;

  const bool is_normal = exponent >= smallest_normal;
  const auto dropped =
      static_cast<int>(63 - format.mantissa_bits + (is_normal ? 0 : smallest_normal - exponent));
  // At most 64 bits are dropped: below that the number is less than half the smallest one.
  const std::uint64_t kept = dropped == 64 ? 0 : mantissa >> dropped;
  const std::uint64_t rest = dropped == 64 ? mantissa : mantissa & ((1ULL << dropped) - 1);
  const std::uint64_t half = 1ULL << (dropped - 1);
  const bool is_above_half = rest > half || (rest == half && number.is_inexact);
  std::uint64_t bits = kept + ((is_above_half || (rest == half && (kept & 1U) != 0)) ? 1 : 0);
  if (is_normal) {
    // The implicit bit in `kept` adds the last one to the exponent field.
    bits += static_cast<std::uint64_t>(exponent + format.bias - 1) << format.mantissa_bits;
  }
  if (bits > format.largest) return std::nullopt;
  return bits;
}

double float_value(std::uint64_t bits, const FloatFormat& format) {
  const std::uint64_t sign_bit = 1ULL << (format.bits - 1);
  const double sign = (bits & sign_bit) != 0 ? -1.0 : 1.0;
  bits &= sign_bit - 1;
  if (bits > format.largest) {
    const bool is_infinite = format.has_infinity && bits == format.infinity;
    return std::copysign(is_infinite ? std::numeric_limits<double>::infinity()
                                     : std::numeric_limits<double>::quiet_NaN(),
                         sign);
  }
  const std::uint64_t fraction_mask = (1ULL << format.mantissa_bits) - 1;
  const auto field = static_cast<int>(bits >> format.mantissa_bits);
  const std::uint64_t implicit = field != 0 ? fraction_mask + 1 : 0;
  const auto mantissa = static_cast<double>((bits & fraction_mask) | implicit);
  const int exponent = (field != 0 ? field : 1) - format.bias - format.mantissa_bits;
  return sign * std::ldexp(mantissa, exponent);
}

}  // namespace pyane::mil
