#include "pyane/base/environment.h"

#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>

#include "pyane/base/error.h"

namespace pyane {

std::optional<std::int64_t> positive_from_environment(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  const std::string_view digits(text);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size() || number < 1) {
    throw Error(std::string(variable) + " must be a positive number, got '" + text + "'");
  }
  return number;
}

}  // namespace pyane
