#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pyane::mil {

/// MIL text with its name, and the one way to complain about a place in it. Borrows both.
struct Source {
  std::string_view text;
  std::string_view name;

  /// Throws MilSyntaxError: `name:line:column: message`, the offending line (about 120 columns of
  /// it around the place), a caret. Lines end at '\n'; columns count code points, a tab being one.
  [[noreturn]] void fail(std::size_t offset, const std::string& message) const;

  /// As above, for a place given as a pointer into `text`.
  [[noreturn]] void fail_at(const char* place, const std::string& message) const {
    fail(static_cast<std::size_t>(place - text.data()), message);
  }
};

/// Offset of the first byte that does not begin or continue well-formed UTF-8 (no overlong forms,
/// no surrogates); text.size() when all is well.
std::size_t find_invalid_utf8(std::string_view text);

/// `text` in quotes for a message: cut to about 40 bytes, control characters escaped.
std::string quoted(std::string_view text);

}  // namespace pyane::mil
