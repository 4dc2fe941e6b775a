#include "pyane/mil/decimal.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

// std::from_chars and std::to_chars for floating point came late to Apple's standard library; there
// strtod_l and snprintf do the same, in the C locale.
#if defined(__cpp_lib_to_chars) && __cpp_lib_to_chars >= 201611L
#define PYANE_HAS_FLOAT_CHARCONV 1
#else
#define PYANE_HAS_FLOAT_CHARCONV 0
#include <locale.h>
#if defined(__APPLE__)
#include <xlocale.h>
#endif
#endif

namespace pyane::mil {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// digits [. digits] [e [sign] digits]: what from_chars and strtod take differs, this does not.
bool is_decimal(std::string_view text) {
  std::size_t i = 0;
  const auto skip_digits = [&] {
    const std::size_t begin = i;
    while (i < text.size() && is_digit(text[i])) ++i;
    return i > begin;
  };
  if (!skip_digits()) return false;
  if (i < text.size() && text[i] == '.') {
    ++i;
    skip_digits();
  }
  if (i < text.size() && (text[i] | 0x20) == 'e') {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (!skip_digits()) return false;
  }
  return i == text.size();
}

// 0.d1d2d3... * 10^exponent with d1 != 0; no digits for zero. Any character that is neither digit
// nor exponent letter is taken for the decimal point, so that every locale's snprintf will do.
struct Digits {
  std::string digits;
  std::int64_t exponent = 0;
};

Digits to_digits(std::string_view text) {
  Digits result;
  bool after_point = false;
  std::size_t i = 0;
  for (; i < text.size() && (text[i] | 0x20) != 'e'; ++i) {
    if (!is_digit(text[i])) {
      after_point = true;
    } else if (text[i] == '0' && result.digits.empty()) {
      if (after_point) --result.exponent;
    } else {
      result.digits += text[i];
      if (!after_point) ++result.exponent;
    }
  }
  while (!result.digits.empty() && result.digits.back() == '0') result.digits.pop_back();
  if (i < text.size()) {
    const bool is_negative = text[++i] == '-';
    if (!is_digit(text[i])) ++i;
    std::int64_t exponent = 0;
    constexpr std::int64_t kSaturated = std::int64_t{1} << 40;  // Beyond any text's length.
    for (; i < text.size(); ++i) {
      exponent = std::min(exponent * 10 + (text[i] - '0'), kSaturated);
    }
    result.exponent += is_negative ? -exponent : exponent;
  }
  return result;
}

#if PYANE_HAS_FLOAT_CHARCONV

// False when the number is beyond the type's range on either side.
template <typename T>
bool convert(std::string_view text, T& value) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc();
}

std::size_t format_general(std::array<char, 40>& buffer, double value, int digits) {
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                    std::chars_format::general, digits);
  return static_cast<std::size_t>(result.ptr - buffer.data());
}

#else

locale_t c_locale() {
  static const locale_t locale = newlocale(LC_ALL_MASK, "C", nullptr);
  return locale;
}

double from_text(const char* text, double) { return strtod_l(text, nullptr, c_locale()); }
float from_text(const char* text, float) { return strtof_l(text, nullptr, c_locale()); }

template <typename T>
bool convert(std::string_view text, T& value) {
  value = from_text(std::string(text).c_str(), T{});
  return true;
}

std::size_t format_general(std::array<char, 40>& buffer, double value, int digits) {
  const locale_t previous = uselocale(c_locale());
  const int length = std::snprintf(buffer.data(), buffer.size(), "%.*g", digits, value);
  uselocale(previous);
  return static_cast<std::size_t>(length);
}

#endif

template <typename T>
DecimalStatus parse(std::string_view text, T& value) {
  if (!is_decimal(text)) return DecimalStatus::kMalformed;
  if (!convert(text, value)) {
    const Digits digits = to_digits(text);
    if (digits.digits.empty() || digits.exponent < 0) {
      value = 0;
      return DecimalStatus::kOk;
    }
    return DecimalStatus::kTooLarge;
  }
  return std::isinf(value) ? DecimalStatus::kTooLarge : DecimalStatus::kOk;
}

}  // namespace

DecimalStatus parse_decimal(std::string_view text, double& value) { return parse(text, value); }
DecimalStatus parse_decimal(std::string_view text, float& value) { return parse(text, value); }

int compare_decimal(std::string_view text, double value) {
  // 767 significant digits hold any fp64 exactly.
  std::array<char, 800> buffer{};
  const int length = std::snprintf(buffer.data(), buffer.size(), "%.766e", value);
  const Digits a = to_digits(text);
  const Digits b = to_digits({buffer.data(), static_cast<std::size_t>(length)});
  if (a.digits.empty()) return -1;
  if (a.exponent != b.exponent) return a.exponent < b.exponent ? -1 : 1;
  return a.digits.compare(b.digits);
}

void append_decimal(std::string& out, double value) {
  std::array<char, 40> buffer{};
  for (const int digits : {15, 17}) {
    const std::size_t length = format_general(buffer, value, digits);
    double back = 0;
    parse_decimal({buffer.data(), length}, back);
    if (back != value && digits == 15) continue;
    out.append(buffer.data(), length);
    return;
  }
}

}  // namespace pyane::mil
