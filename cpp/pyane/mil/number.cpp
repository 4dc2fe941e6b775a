#include "pyane/mil/number.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "pyane/mil/decimal.h"
#include "pyane/mil/float_format.h"

namespace pyane::mil {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const int lower = c | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

void store(std::uint64_t bits, DType dtype, std::byte* target) {
  std::memcpy(target, &bits, dtype_size(dtype));  // Little endian: the low bytes come first.
}

std::uint64_t load(DType dtype, const std::byte* source) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, source, dtype_size(dtype));
  return bits;
}

// `text` follows "0x": digits [. digits] [p [sign] digits].
bool parse_hexadecimal(std::string_view text, ScaledInteger& number) {
  std::size_t i = 0;
  bool any_digit = false;
  bool after_point = false;
  for (; i < text.size(); ++i) {
    if (text[i] == '.' && !after_point) {
      after_point = true;
      continue;
    }
    const int digit = hex_value(text[i]);
    if (digit < 0) break;
    any_digit = true;
    if ((number.mantissa >> 60) == 0) {
      number.mantissa = number.mantissa * 16 + static_cast<std::uint64_t>(digit);
      if (after_point) number.exponent -= 4;
    } else {
      number.is_inexact = number.is_inexact || digit != 0;
      if (!after_point) number.exponent += 4;
    }
  }
  if (!any_digit) return false;
  if (i == text.size()) return true;
  if ((text[i] | 0x20) != 'p') return false;
  ++i;
  const bool is_negative = i < text.size() && text[i] == '-';
  if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
  if (i == text.size()) return false;
  constexpr std::int64_t kSaturated = std::int64_t{1} << 40;  // Beyond any text's length.
  std::int64_t exponent = 0;
  for (; i < text.size(); ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    exponent = std::min(exponent * 10 + (text[i] - '0'), kSaturated);
  }
  number.exponent += is_negative ? -exponent : exponent;
  return true;
}

// Exact for fp64, which has at most 53 bits.
ScaledInteger to_scaled(double value) {
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);
  return {.mantissa = static_cast<std::uint64_t>(std::ldexp(fraction, 62)),
          .exponent = exponent - 62};
}

NumberStatus parse_decimal_float(std::string_view text, DType dtype, std::uint64_t& bits) {
  const auto to_status = [](DecimalStatus status) {
    return status == DecimalStatus::kOk          ? NumberStatus::kOk
           : status == DecimalStatus::kMalformed ? NumberStatus::kMalformed
                                                 : NumberStatus::kOutOfRange;
  };
  if (dtype == DType::kFp32) {
    float value = 0;
    const DecimalStatus status = parse_decimal(text, value);
    bits = std::bit_cast<std::uint32_t>(value);
    return to_status(status);
  }
  double value = 0;
  const DecimalStatus status = parse_decimal(text, value);
  bits = std::bit_cast<std::uint64_t>(value);
  if (status != DecimalStatus::kOk || dtype == DType::kFp64 || value == 0) {
    if (dtype != DType::kFp64) bits = 0;
    return to_status(status);
  }
  // A second rounding goes wrong only from a tie of the narrow format that the text merely came
  // near to. A tie has one bit more than the format, or fewer among subnormal numbers: ask the text
  // then.
  ScaledInteger number = to_scaled(value);
  const FloatFormat& format = float_format(dtype);
  const int used_bits = 62 - std::countr_zero(number.mantissa);
  if (used_bits == format.mantissa_bits + 2 || value < std::ldexp(1.0, 1 - format.bias)) {
    const int side = compare_decimal(text, value);
    if (side < 0) --number.mantissa;
    number.is_inexact = side != 0;
  }
  const auto rounded = round_to_format(number, format);
  if (!rounded) return NumberStatus::kOutOfRange;
  bits = *rounded;
  return NumberStatus::kOk;
}

NumberStatus parse_float(std::string_view text, DType dtype, std::byte* target) {
  const FloatFormat& format = float_format(dtype);
  const bool is_negative = text[0] == '-';
  if (is_negative) text.remove_prefix(1);
  std::uint64_t bits = 0;
  if (text == "inf" || text == "infinity") {
    if (!format.has_infinity) return NumberStatus::kNoInfinity;
    bits = format.infinity;
  } else if (text == "nan") {
    bits = format.nan;
  } else if (text.size() > 1 && text[0] == '0' && (text[1] | 0x20) == 'x') {
    ScaledInteger number;
    if (!parse_hexadecimal(text.substr(2), number)) return NumberStatus::kMalformed;
    const auto rounded = round_to_format(number, format);
    if (!rounded) return NumberStatus::kOutOfRange;
    bits = *rounded;
  } else {
    const NumberStatus status = parse_decimal_float(text, dtype, bits);
    if (status != NumberStatus::kOk) return status;
  }
  if (is_negative) bits |= 1ULL << (format.bits - 1);
  store(bits, dtype, target);
  return NumberStatus::kOk;
}

NumberStatus parse_integer(std::string_view text, DType dtype, std::byte* target) {
  const std::string_view unsigned_text = text[0] == '-' ? text.substr(1) : text;
  if (unsigned_text == "inf" || unsigned_text == "infinity" || unsigned_text == "nan") {
    return NumberStatus::kNoInfinity;
  }
  std::uint64_t magnitude = 0;
  const char* const end = unsigned_text.data() + unsigned_text.size();
  const auto result = std::from_chars(unsigned_text.data(), end, magnitude);
  if (result.ptr != end) {
    // A float is no integer; anything else is no number at all.
    std::array<std::byte, 8> unused{};
    return parse_float(text, DType::kFp64, unused.data()) == NumberStatus::kMalformed
               ? NumberStatus::kMalformed
               : NumberStatus::kNotInteger;
  }
  if (result.ec == std::errc::invalid_argument) return NumberStatus::kMalformed;
  if (result.ec != std::errc()) return NumberStatus::kOutOfRange;
  const IntegerRange range = integer_range(dtype);
  if (text[0] != '-') {
    if (magnitude > range.high) return NumberStatus::kOutOfRange;
    store(magnitude, dtype, target);
    return NumberStatus::kOk;
  }
  const std::uint64_t lowest = 0 - static_cast<std::uint64_t>(range.low);
  if (magnitude > lowest) return NumberStatus::kOutOfRange;
  store(0 - magnitude, dtype, target);
  return NumberStatus::kOk;
}

void append_hexadecimal(std::string& out, double value) {
  constexpr std::string_view kHex = "0123456789abcdef";
  if (value == 0) {
    out += "0x0p+0";
    return;
  }
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);  // [0.5, 1)
  // 1.f with 52 bits after the point, subnormal values included.
  const auto mantissa = static_cast<std::uint64_t>(std::ldexp(fraction, 53));
  out += "0x1";
  std::uint64_t rest = (mantissa << 12);  // The implicit bit drops out.
  if (rest != 0) out += '.';
  for (; rest != 0; rest <<= 4) out += kHex[rest >> 60];
  --exponent;
  out += exponent < 0 ? "p" : "p+";
  out += std::to_string(exponent);
}

}  // namespace

IntegerRange integer_range(DType dtype) {
  const DTypeInfo& info = dtype_info(dtype);
  if (info.kind == DTypeKind::kSigned) {
    const auto high = (std::uint64_t{1} << (info.bits - 1)) - 1;
    return {.low = -static_cast<std::int64_t>(high) - 1, .high = high};
  }
  return {.low = 0, .high = std::numeric_limits<std::uint64_t>::max() >> (64 - info.bits)};
}

NumberStatus parse_number(std::string_view text, DType dtype, std::byte* target) {
  assert(!text.empty() && (is_float(dtype) || is_integer(dtype)));
  if (text == "-") return NumberStatus::kMalformed;
  return is_float(dtype) ? parse_float(text, dtype, target) : parse_integer(text, dtype, target);
}

void append_number(std::string& out, DType dtype, const std::byte* source, FloatStyle style) {
  const std::uint64_t bits = load(dtype, source);
  if (!is_float(dtype)) {
    std::array<char, 24> buffer{};
    const int unused = 64 - 8 * static_cast<int>(dtype_size(dtype));
    const bool is_signed = dtype_info(dtype).kind == DTypeKind::kSigned;
    char* const begin = buffer.data();
    char* const end = begin + buffer.size();
    const auto result =
        is_signed ? std::to_chars(begin, end, static_cast<std::int64_t>(bits << unused) >> unused)
                  : std::to_chars(begin, end, bits);
    out.append(begin, result.ptr);
    return;
  }
  const double value = float_value(bits, float_format(dtype));
  if (std::signbit(value)) out += '-';
  if (std::isnan(value)) {
    out += "nan";
  } else if (std::isinf(value)) {
    out += "inf";
  } else if (style == FloatStyle::kDecimal) {
    append_decimal(out, std::abs(value));
  } else {
    append_hexadecimal(out, std::abs(value));
  }
}

}  // namespace pyane::mil
