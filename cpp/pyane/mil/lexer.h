#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "pyane/mil/program.h"
#include "pyane/mil/source.h"

namespace pyane::mil {

enum class TokenKind : std::uint8_t {
  kIdentifier,   ///< [A-Za-z_][A-Za-z0-9_@]*
  kNumber,       ///< Decimal or hexadecimal, with its sign; `-inf` and `-nan` too. Not checked.
  kString,       ///< With its quotes, escapes not yet decoded.
  kPunctuation,  ///< One of ( ) [ ] { } < > , ; = : ?
  kArrow,        ///< ->
  kEnd,
};

/// A stretch of the source; nothing is copied.
struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string_view text;
  Location location;

  bool is(char punctuation) const {
    return kind == TokenKind::kPunctuation && text[0] == punctuation;
  }
  bool is_word(std::string_view word) const {
    return kind == TokenKind::kIdentifier && text == word;
  }
};

/// Bytes to tokens, one at a time. Copying a lexer is cheap: that is how the parser looks ahead.
class Lexer {
 public:
  /// `source` must outlive the lexer and be valid UTF-8.
  explicit Lexer(const Source& source);

  /// @throws MilSyntaxError  on a byte that begins no token, and on a string without an end.
  Token next();

 private:
  void skip_space();
  Token take(TokenKind kind, std::size_t length);
  Token take_string();

  const Source* source_;
  std::size_t offset_ = 0;
  std::size_t line_begin_ = 0;
  std::size_t continuation_bytes_ =
      0;  ///< UTF-8 bytes of this line that are no column of their own.
  int line_ = 1;
};

/// True for text that is one identifier and that the grammar does not give another meaning as an
/// operand (`true`, `false`).
bool is_name(std::string_view text);

/// True for two whole numbers around a dot, as in `program(1.3)`.
bool is_version(std::string_view text);

/// The text a kString token stands for.
/// @throws MilSyntaxError  on an unknown or unfinished escape, at the escape.
std::string decode_string(const Source& source, const Token& token);

/// `text` as a MIL string literal with quotes; decode_string's inverse.
std::string encode_string(std::string_view text);

/// What a token is called in a message: "'foo'", "end of text".
std::string describe(const Token& token);

}  // namespace pyane::mil
