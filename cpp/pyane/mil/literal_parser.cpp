#include <algorithm>
#include <charconv>
#include <utility>

#include "pyane/mil/limits.h"
#include "pyane/mil/number.h"
#include "pyane/mil/parser_state.h"

namespace pyane::mil {
namespace {

std::string counted(std::int64_t n, const char* what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

}  // namespace

// Where the elements of a tensor literal go while its nested brackets are read.
struct Parser::TensorTarget {
  const Type& type;
  Shape dims;  // With `?` filled in once the first list along it has ended.
  TensorBytes bytes;
  std::vector<std::string> strings;
};

Literal Parser::parse_literal() {
  Literal literal;
  literal.location = token_.location;
  literal.type = parse_type();
  expect('(', "after the type of a literal");
  parse_payload(literal);
  expect(')', "at the end of a literal");
  return literal;
}

void Parser::parse_payload(Literal& literal) {
  const Nesting nesting(*this);
  switch (literal.type.kind) {
    case Type::Kind::kTensor:
      if (token_.is_word("BLOBFILE")) {
        literal.payload = parse_blob_reference();
      } else {
        parse_tensor(literal);
      }
      return;
    case Type::Kind::kList:
      return parse_list_items(literal);
    case Type::Kind::kTuple:
      return parse_tuple_items(literal);
    case Type::Kind::kDict:
      return parse_dict_items(literal);
    case Type::Kind::kState:
    case Type::Kind::kTensorBuffer:
      break;
  }
  fail(token_,
       "a literal must be a tensor, list, tuple or dict, got type " + to_string(literal.type));
}

Literal Parser::parse_item(const Type& type) {
  type_bytes_ += memory_bytes(type);
  ++item_count_;
  if (type_bytes_ > kMinTypeBytes + kTypeBytesPerItem * item_count_) {
    fail(token_, "expected fewer items, or items of a smaller type: their types need more than " +
                     std::to_string(type_bytes_) + " bytes");
  }
  Literal item;
  item.location = token_.location;
  item.type = type;
  parse_payload(item);
  return item;
}

void Parser::parse_list_items(Literal& literal) {
  std::vector<Literal> items;
  const Token open = expect('[', "at the start of a list");
  if (!accept(']')) {
    do {
      items.push_back(parse_item(literal.type.elements.front()));
    } while (another(']', "after an item of a list"));
  }
  const std::int64_t declared = literal.type.length;
  if (declared != kUnknownDim && declared != static_cast<std::int64_t>(items.size())) {
    fail(open, "expected " + counted(declared, "item") + " as the list's type says, got " +
                   std::to_string(items.size()));
  }
  items.shrink_to_fit();
  literal.payload = std::move(items);
}

void Parser::parse_tuple_items(Literal& literal) {
  std::vector<Literal> items;
  const Token open = expect('(', "at the start of a tuple");
  const std::vector<Type>& types = literal.type.elements;
  const auto count_fault = [&](const std::string& got) {
    fail(open, "expected " + counted(static_cast<std::int64_t>(types.size()), "item") +
                   " as the tuple's type says, got " + got);
  };
  if (!accept(')')) {
    do {
      if (items.size() == types.size()) count_fault("more");
      items.push_back(parse_item(types[items.size()]));
    } while (another(')', "after an item of a tuple"));
  }
  if (items.size() < types.size()) count_fault(std::to_string(items.size()));
  literal.payload = std::move(items);
}

void Parser::parse_dict_items(Literal& literal) {
  std::vector<Literal> items;
  expect('{', "at the start of a dict");
  if (!accept('}')) {
    do {
      expect('{', "before a key of a dict");
      items.push_back(parse_item(literal.type.elements[0]));
      expect(',', "after a key of a dict");
      items.push_back(parse_item(literal.type.elements[1]));
      expect('}', "after a value of a dict");
    } while (another('}', "after an item of a dict"));
  }
  items.shrink_to_fit();
  literal.payload = std::move(items);
}

BlobReference Parser::parse_blob_reference() {
  expect_word("BLOBFILE", "");
  const Token open = expect('(', "after BLOBFILE");
  BlobReference blob;
  bool has_path = false;
  bool has_offset = false;
  do {
    const Token field = expect_name("path or offset");
    const bool is_path = field.text == "path";
    if (!is_path && field.text != "offset") {
      fail(field, "expected path or offset, got " + describe(field));
    }
    bool& seen = is_path ? has_path : has_offset;
    if (std::exchange(seen, true)) fail(field, std::string(field.text) + " is given twice");
    expect('=', std::string("after ").append(field.text));
    const Token place = token_;
    const Literal value = parse_literal();
    blob.short_form = blob.short_form && value.type.short_form;
    const DType dtype = is_path ? DType::kString : DType::kUint64;
    if (!value.type.is_scalar() || value.type.dtype != dtype ||
        std::holds_alternative<BlobReference>(value.payload)) {
      fail(place, std::string("expected ") + (is_path ? "string(\"...\")" : "uint64(...)") +
                      " for " + std::string(field.text) + ", got " + to_string(value.type));
    }
    if (is_path) {
      blob.path = std::get<std::vector<std::string>>(value.payload).front();
    } else {
      const auto& bytes = std::get<TensorBytes>(value.payload);
      std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::byte*>(&blob.offset));
    }
  } while (another(')', "in BLOBFILE"));
  if (!has_path || !has_offset) {
    fail(open, std::string("expected path and offset in BLOBFILE, got no ") +
                   (has_path ? "offset" : "path"));
  }
  return blob;
}

void Parser::parse_tensor(Literal& literal) {
  const Token place = token_;
  TensorTarget target{.type = literal.type, .dims = literal.type.dims, .bytes = {}, .strings = {}};
  if (std::count(target.dims.begin(), target.dims.end(), kUnknownDim) > 1) {
    fail(place, "expected at most one unknown dimension in the type of a literal, got " +
                    to_string(literal.type));
  }
  // The declared count may be a lie: take room for no more than the text can hold.
  const auto rest =
      static_cast<std::size_t>(source_.text.data() + source_.text.size() - place.text.data());
  const std::int64_t count = element_count(target.dims).value_or(0);
  const std::size_t room = std::min(static_cast<std::size_t>(count), rest / 2 + 1);
  if (literal.type.dtype == DType::kString) {
    target.strings.reserve(std::min(room, rest / 4 + 1));
  } else {
    target.bytes.reserve(room * dtype_size(literal.type.dtype));
  }
  const bool is_empty = std::count(target.dims.begin(), target.dims.end(), 0) > 0;
  if (is_empty) {
    // However many empty lists the type would ask for, `[]` stands for no elements.
    Lexer ahead = lexer_;
    if (token_.is('[') && ahead.next().is(']')) {
      take();
      take();
    } else {
      parse_elements(target, 0);
    }
  } else {
    parse_elements(target, 0);
  }
  if (literal.type.dtype == DType::kString) {
    literal.payload = std::move(target.strings);
  } else {
    target.bytes.shrink_to_fit();
    literal.payload = std::move(target.bytes);
  }
}

void Parser::parse_elements(TensorTarget& target, std::size_t axis) {
  if (axis == target.dims.size()) return parse_element(target);
  if (!token_.is('[')) {
    fail_expected("'[' at the start of dimension " + std::to_string(axis) + " of " +
                  to_string(target.type));
  }
  const Token open = take();
  std::int64_t count = 0;
  std::int64_t& declared = target.dims[axis];
  const auto count_fault = [&](const std::string& got) {
    fail(open, "expected " + counted(declared, "element") + " along dimension " +
                   std::to_string(axis) + " of " + to_string(target.type) + ", got " + got);
  };
  if (!accept(']')) {
    do {
      if (count == declared) count_fault("more");
      parse_elements(target, axis + 1);
      ++count;
    } while (another(']', "after an element of a tensor"));
  }
  if (declared == kUnknownDim) declared = count;
  if (count != declared) count_fault(std::to_string(count));
}

void Parser::parse_element(TensorTarget& target) {
  const DType dtype = target.type.dtype;
  if (dtype == DType::kString) {
    if (token_.kind != TokenKind::kString) fail_expected("a string in double quotes");
    const Token token = take();
    target.strings.push_back(decode_string(source_, token));
    return;
  }
  if (dtype == DType::kBool) {
    if (!token_.is_word("true") && !token_.is_word("false")) fail_expected("true or false");
    target.bytes.push_back(std::byte{token_.text == "true"});
    take();
    return;
  }
  const std::size_t size = dtype_size(dtype);
  target.bytes.resize(target.bytes.size() + size);
  parse_number_element(dtype, target.bytes.data() + target.bytes.size() - size);
}

void Parser::parse_number_element(DType dtype, std::byte* target) {
  const bool is_special =
      token_.is_word("inf") || token_.is_word("infinity") || token_.is_word("nan");
  if (token_.kind != TokenKind::kNumber && !is_special) {
    fail_expected((is_float(dtype) ? "a number for " : "an integer for ") +
                  std::string(dtype_name(dtype)));
  }
  const Token token = take();
  const NumberStatus status = parse_number(token.text, dtype, target);
  if (status == NumberStatus::kOk) return;
  const std::string name(dtype_name(dtype));
  switch (status) {
    case NumberStatus::kMalformed:
      fail(token, "expected a number for " + name + ", got " + describe(token));
    case NumberStatus::kNotInteger:
      fail(token, "expected an integer for " + name + ", got " + describe(token));
    case NumberStatus::kNoInfinity:
      fail(token, "expected a finite number for " + name + ", got " + describe(token));
    default:
      break;
  }
  std::string range;
  if (is_float(dtype)) {
    range = "a number in the range of " + name;
  } else {
    const IntegerRange limits = integer_range(dtype);
    range = name + " in [" + std::to_string(limits.low) + ", " + std::to_string(limits.high) + "]";
  }
  fail(token, "expected " + range + ", got " + describe(token));
}

}  // namespace pyane::mil
