#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "pyane/base/dtype.h"
#include "pyane/mil/op_set.h"

// Changes MIL text where bytes changed at random would hardly ever give a program: a number, a
// name, an operation, an element type, a statement. Linked into the targets that need programs.

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

using Random = std::minstd_rand;

struct Token {
  enum class Kind : std::uint8_t { kName, kNumber, kOther };
  Kind kind;
  std::size_t begin;
  std::size_t end;
};

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

std::vector<Token> tokenize(std::string_view text) {
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i + 1;
    auto kind = Token::Kind::kOther;
    if (is_digit(text[i]) || (text[i] == '-' && end < text.size() && is_digit(text[end]))) {
      while (end < text.size() && (is_word(text[end]) || text[end] == '.')) ++end;
      kind = Token::Kind::kNumber;
    } else if (is_word(text[i])) {
      while (end < text.size() && is_word(text[end])) ++end;
      kind = Token::Kind::kName;
    }
    if (text[i] != ' ' && text[i] != '\n') tokens.push_back({kind, i, end});
    i = end;
  }
  return tokens;
}

constexpr std::array kNumbers{"0",
                              "1",
                              "-1",
                              "2",
                              "3",
                              "4",
                              "5",
                              "7",
                              "8",
                              "15",
                              "16",
                              "17",
                              "31",
                              "33",
                              "63",
                              "64",
                              "65",
                              "127",
                              "-2",
                              "-3",
                              "-5",
                              "48",
                              "100",
                              "4096",
                              "65536",
                              "2147483647",
                              "-2147483648",
                              "4294967296",
                              "1099511627776",
                              "9223372036854775807",
                              "0.5",
                              "-1.5",
                              "1e30",
                              "-0.0",
                              "inf",
                              "nan"};

class Mutation {
 public:
  Mutation(std::string_view text, unsigned seed)
      : text_(text), tokens_(tokenize(text)), random_(seed) {}

  std::string apply() {
    if (tokens_.empty()) return std::string(text_);
    switch (pick(8)) {
      case 0:
      case 1:
        return replace(Token::Kind::kNumber, kNumbers[pick(kNumbers.size())]);
      case 2:
        return replace(Token::Kind::kName, other_token(Token::Kind::kName));
      case 3:
        return replace(Token::Kind::kNumber, other_token(Token::Kind::kNumber));
      case 4: {
        const auto& ops = pyane::mil::all_ops();
        return replace(Token::Kind::kName, ops[pick(ops.size())]->name);
      }
      case 5: {
        const auto dtype = static_cast<pyane::DType>(pick(22));
        return replace(Token::Kind::kName, std::string(pyane::dtype_name(dtype)));
      }
      case 6:
        return cut(';');
      default:
        return cut(',');
    }
  }

 private:
  std::size_t pick(std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_);
  }

  const Token* find(Token::Kind kind) {
    for (int attempt = 0; attempt < 32; ++attempt) {
      const Token& token = tokens_[pick(tokens_.size())];
      if (token.kind == kind) return &token;
    }
    return nullptr;
  }

  std::string other_token(Token::Kind kind) {
    const Token* token = find(kind);
    return token == nullptr ? "1"
                            : std::string(text_.substr(token->begin, token->end - token->begin));
  }

  std::string replace(Token::Kind kind, const std::string& with) {
    const Token* token = find(kind);
    if (token == nullptr) return std::string(text_);
    std::string result(text_.substr(0, token->begin));
    return result.append(with).append(text_.substr(token->end));
  }

  /// Doubles or drops what stands between two separators.
  std::string cut(char separator) {
    std::vector<std::size_t> places;
    for (const Token& token : tokens_) {
      if (text_[token.begin] == separator || text_[token.begin] == '{') places.push_back(token.end);
    }
    if (places.size() < 2) return std::string(text_);
    const std::size_t i = pick(places.size() - 1);
    const std::string_view part = text_.substr(places[i], places[i + 1] - places[i]);
    std::string result(text_.substr(0, places[i]));
    if (pick(2) == 0) result.append(part).append(part);
    return result.append(text_.substr(places[i + 1]));
  }

  std::string_view text_;
  std::vector<Token> tokens_;
  Random random_;
};

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  if (seed % 8 == 0) return LLVMFuzzerMutate(data, size, max_size);
  const auto* const zero = std::find(data, data + size, std::uint8_t{0});
  const auto length = static_cast<std::size_t>(zero - data);
  const std::string weights(reinterpret_cast<const char*>(zero), size - length);
  std::string text(reinterpret_cast<const char*>(data), length);
  for (unsigned n = 0; n <= seed / 8 % 3; ++n) text = Mutation(text, seed + n).apply();
  text += weights;
  const std::size_t n_bytes = std::min(text.size(), max_size);
  std::memcpy(data, text.data(), n_bytes);
  return n_bytes;
}
