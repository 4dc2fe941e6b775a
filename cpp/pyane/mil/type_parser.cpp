#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include "pyane/mil/limits.h"
#include "pyane/mil/parser_state.h"

namespace pyane::mil {
namespace {

constexpr std::array<std::string_view, 6> kTypeWords = {"tensor", "list",  "dict",
                                                        "tuple",  "state", "tensor_buffer"};

}  // namespace

bool Parser::at_type() const {
  if (token_.kind != TokenKind::kIdentifier) return false;
  return std::find(kTypeWords.begin(), kTypeWords.end(), token_.text) != kTypeWords.end() ||
         dtype_from_name(token_.text).has_value();
}

Type Parser::parse_type() {
  const Nesting nesting(*this);
  if (!at_type()) fail_expected("a type such as fp16 or tensor<fp16, [1, 8]>");
  if (const auto dtype = dtype_from_name(token_.text)) {
    take();
    return Type::scalar(*dtype);
  }
  const Token word = take();
  if (word.text == "tensor") return parse_tensor_type();
  if (word.text == "tensor_buffer") return parse_tensor_buffer_type();
  if (word.text == "list") return parse_list_type();

  Type type;
  expect('<', std::string("after ").append(word.text));
  if (word.text == "dict") {
    type.kind = Type::Kind::kDict;
    type.elements.reserve(2);
    type.elements.push_back(parse_type());
    expect(',', "after the key type of a dict");
    type.elements.push_back(parse_type());
  } else if (word.text == "tuple") {
    type.kind = Type::Kind::kTuple;
    if (!token_.is('>')) {
      do {
        type.elements.push_back(parse_type());
      } while (accept(','));
    }
  } else {
    type.kind = Type::Kind::kState;
    const Token place = token_;
    type.elements.push_back(parse_type());
    if (!type.elements.front().is_tensor()) {
      fail(place, "a state must hold a tensor, got " + to_string(type.elements.front()));
    }
  }
  expect('>', std::string("at the end of a ").append(word.text).append(" type"));
  return type;
}

Type Parser::parse_tensor_type() {
  expect('<', "after tensor");
  Type type;
  type.dtype = parse_dtype();
  expect(',', "after the element type");
  const Token place = token_;
  type.dims = parse_dimensions("a dimension", kMaxDimension, true);
  check_element_count(place, type.dims);
  expect('>', "at the end of a tensor type");
  return type;
}

Type Parser::parse_tensor_buffer_type() {
  expect('<', "after tensor_buffer");
  Type type;
  type.kind = Type::Kind::kTensorBuffer;
  type.dtype = parse_dtype();
  bool has_shape = false;
  bool has_strides = false;
  bool has_factors = false;
  const auto set = [&](const Token& field, bool& seen) {
    if (std::exchange(seen, true)) {
      fail(field, std::string(field.text) + " is given twice in this tensor_buffer type");
    }
  };
  while (accept(',')) {
    const Token field = expect_name("shape, strides or interleave_factors");
    expect('=', std::string("after ").append(field.text));
    const Token place = token_;
    if (field.text == "shape") {
      set(field, has_shape);
      type.dims = parse_dimensions("a dimension", kMaxDimension, true);
      check_element_count(place, type.dims);
    } else if (field.text == "strides") {
      set(field, has_strides);
      type.strides = parse_dimensions("a stride", std::numeric_limits<std::int64_t>::max(), false);
    } else if (field.text == "interleave_factors") {
      set(field, has_factors);
      type.interleave_factors = parse_dimensions("an interleave factor", kMaxDimension, false);
    } else {
      fail(field, "expected shape, strides or interleave_factors, got " + describe(field));
    }
  }
  if (!has_shape) fail_expected("',' and shape=[...] in a tensor_buffer type");
  expect('>', "at the end of a tensor_buffer type");
  return type;
}

Type Parser::parse_list_type() {
  expect('<', "after list");
  Type type;
  type.kind = Type::Kind::kList;
  type.elements.push_back(parse_type());
  if (accept(',') && !accept('?')) type.length = parse_integer("a length or '?'", kMaxDimension);
  expect('>', "at the end of a list type");
  return type;
}

DType Parser::parse_dtype() {
  if (token_.kind == TokenKind::kIdentifier) {
    if (const auto dtype = dtype_from_name(token_.text)) {
      take();
      return *dtype;
    }
  }
  fail_expected("an element type such as fp16 or int32");
}

std::vector<std::int64_t> Parser::parse_dimensions(const char* what, std::int64_t largest,
                                                   bool takes_unknown) {
  const Token open = expect('[', "before dimensions");
  std::vector<std::int64_t> dims;
  if (accept(']')) return dims;
  do {
    if (dims.size() == kMaxRank) {
      fail(open, "expected at most " + std::to_string(kMaxRank) + " dimensions, got more");
    }
    const bool is_unknown = takes_unknown && accept('?');
    dims.push_back(is_unknown ? kUnknownDim : parse_integer(what, largest));
  } while (another(']', "after a dimension"));
  return dims;
}

std::int64_t Parser::parse_integer(const char* what, std::int64_t largest) {
  if (token_.kind != TokenKind::kNumber) fail_expected(what);
  const Token token = take();
  std::int64_t value = 0;
  const char* const end = token.text.data() + token.text.size();
  const auto result = std::from_chars(token.text.data(), end, value);
  const bool is_too_large = result.ec == std::errc::result_out_of_range && token.text[0] != '-';
  if (is_too_large || (result.ec == std::errc() && result.ptr == end && value > largest)) {
    fail(token, std::string("expected ") + what + " of at most " + std::to_string(largest) +
                    ", got " + describe(token));
  }
  if (result.ec != std::errc() || result.ptr != end || value < 0) {
    fail(token,
         std::string("expected ") + what + ", a whole number from 0, got " + describe(token));
  }
  return value;
}

void Parser::check_element_count(const Token& place, const Shape& dims) {
  // A zero among the dimensions does not make the others harmless: loops may run over them.
  std::int64_t count = 1;
  for (const std::int64_t dim : dims) {
    if (dim == kUnknownDim || dim == 0) continue;
    if (count > kMaxElements / dim) {
      fail(place, "expected at most " + std::to_string(kMaxElements) +
                      " elements, got dimensions " + to_string(dims));
    }
    count *= dim;
  }
}

}  // namespace pyane::mil
