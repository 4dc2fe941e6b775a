#include "pyane/mil/lexer.h"

#include <algorithm>

namespace pyane::mil {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_name_start(char c) { return is_letter(c) || c == '_'; }
bool is_name_part(char c) { return is_name_start(c) || is_digit(c) || c == '@'; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Greedy, so that `1.5x` is one wrong number rather than a number and a name.
std::size_t number_length(std::string_view text) {
  std::size_t i = text[0] == '-' ? 1 : 0;
  const bool is_hex = text.size() > i + 1 && text[i] == '0' && (text[i + 1] | 0x20) == 'x';
  const char exponent = is_hex ? 'p' : 'e';
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (is_name_part(c) || c == '.') continue;
    const bool is_sign = c == '-' || c == '+';
    if (!is_sign || i == 0 || (text[i - 1] | 0x20) != exponent) break;
  }
  return i;
}

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const int lower = c | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

void append_utf8(std::string& out, std::uint32_t code_point) {
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

}  // namespace

Lexer::Lexer(const Source& source) : source_(&source) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (source.text.substr(0, 3) == kByteOrderMark) {
    offset_ = 3;
    continuation_bytes_ = 2;
  }
}

void Lexer::skip_space() {
  const std::string_view text = source_->text;
  for (; offset_ < text.size() && is_space(text[offset_]); ++offset_) {
    if (text[offset_] != '\n') continue;
    ++line_;
    line_begin_ = offset_ + 1;
    continuation_bytes_ = 0;
  }
}

Token Lexer::take(TokenKind kind, std::size_t length) {
  Token token;
  token.kind = kind;
  token.text = source_->text.substr(offset_, length);
  token.location.line = line_;
  token.location.column = static_cast<int>(offset_ - line_begin_ - continuation_bytes_ + 1);
  offset_ += length;
  return token;
}

Token Lexer::take_string() {
  const std::string_view text = source_->text;
  std::size_t continuation = 0;
  std::size_t i = offset_ + 1;
  for (; i < text.size() && text[i] != '"' && text[i] != '\n'; ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] != '\n') ++i;
    if ((static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U) ++continuation;
  }
  if (i >= text.size() || text[i] != '"') {
    source_->fail(offset_, std::string("expected '\"' at the end of this string, got ") +
                               (i >= text.size() ? "the end of the text"
                                                 : "the end of the line (write \\n)"));
  }
  const Token token = take(TokenKind::kString, i + 1 - offset_);
  continuation_bytes_ += continuation;
  return token;
}

Token Lexer::next() {
  skip_space();
  const std::string_view rest = source_->text.substr(offset_);
  if (rest.empty()) return take(TokenKind::kEnd, 0);
  const char c = rest[0];
  if (is_name_start(c)) {
    std::size_t length = 1;
    while (length < rest.size() && is_name_part(rest[length])) ++length;
    return take(TokenKind::kIdentifier, length);
  }
  if (std::string_view("()[]{}<>,;=:?").find(c) != std::string_view::npos) {
    return take(TokenKind::kPunctuation, 1);
  }
  if (c == '"') return take_string();
  if (rest.substr(0, 2) == "->") return take(TokenKind::kArrow, 2);
  if (is_digit(c) || (c == '-' && rest.size() > 1 && is_name_part(rest[1]))) {
    return take(TokenKind::kNumber, number_length(rest));
  }
  std::string message = "expected a name, a number, a string or one of ()[]{}<>,;=?, got ";
  std::size_t length = 1;
  while (length < rest.size() && (static_cast<unsigned char>(rest[length]) & 0xC0U) == 0x80U) {
    ++length;
  }
  message += quoted(rest.substr(0, length));
  if (rest.substr(0, 2) == "//" || rest.substr(0, 2) == "/*" || c == '#') {
    message += " (MIL text has no comments)";
  }
  source_->fail(offset_, message);
}

bool is_name(std::string_view text) {
  return !text.empty() && is_name_start(text[0]) &&
         std::all_of(text.begin(), text.end(), is_name_part) && text != "true" && text != "false";
}

bool is_version(std::string_view text) {
  const auto is_number = [](std::string_view part) {
    return !part.empty() && part.size() <= 9 && std::all_of(part.begin(), part.end(), is_digit);
  };
  const std::size_t dot = text.find('.');
  return dot != std::string_view::npos && is_number(text.substr(0, dot)) &&
         is_number(text.substr(dot + 1));
}

std::string decode_string(const Source& source, const Token& token) {
  const std::string_view body = token.text.substr(1, token.text.size() - 2);
  std::string out;
  out.reserve(body.size());
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (body[i] != '\\') {
      out += body[i];
      continue;
    }
    const char* const place = body.data() + i;
    const char kind = body[++i];  // take_string never ends a string at a backslash.
    constexpr std::string_view kNames = "\"\\/'nrtbfav0?";
    constexpr std::string_view kValues{"\"\\/'\n\r\t\b\f\a\v\0?", 13};
    const std::size_t simple = kNames.find(kind);
    if (simple != std::string_view::npos) {
      out += kValues[simple];
      continue;
    }
    const std::size_t digits = kind == 'x' ? 2 : kind == 'u' ? 4 : 0;
    if (digits == 0) {
      source.fail_at(place, "expected an escape such as \\n, \\\", \\\\, \\x41 or \\u0041, got " +
                                quoted(body.substr(i - 1, 2)));
    }
    std::uint32_t code_point = 0;
    for (std::size_t k = 0; k < digits; ++k) {
      const int value = i + 1 < body.size() ? hex_value(body[i + 1]) : -1;
      if (value < 0) {
        source.fail_at(place, "expected " + std::to_string(digits) +
                                  " hexadecimal digits after \\" + kind + ", got " +
                                  std::to_string(k));
      }
      code_point = code_point * 16 + static_cast<std::uint32_t>(value);
      ++i;
    }
    // Strings stay UTF-8: a byte above 0x7f, or half a surrogate pair, would not be.
    if (kind == 'x' ? code_point > 0x7F : (code_point >= 0xD800 && code_point <= 0xDFFF)) {
      source.fail_at(place, "expected " +
                                std::string(kind == 'x' ? "\\x00 to \\x7f" : "no surrogate") +
                                ", got " + quoted(body.substr(i - digits - 1, digits + 2)) +
                                " (write the character itself, in UTF-8)");
    }
    append_utf8(out, code_point);
  }
  return out;
}

std::string encode_string(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  out.reserve(text.size() + 2);
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (const auto byte = static_cast<unsigned char>(c); byte < 0x20 || byte == 0x7F) {
          out += "\\x";
          out += kHex[byte >> 4U];
          out += kHex[byte & 15U];
        } else {
          out += c;
        }
    }
  }
  return out + '"';
}

std::string describe(const Token& token) {
  return token.kind == TokenKind::kEnd ? "the end of the text" : quoted(token.text);
}

}  // namespace pyane::mil
