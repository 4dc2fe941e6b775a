#include "pyane/mil/program.h"

#include <algorithm>
#include <cstring>

#include "pyane/base/error.h"
#include "pyane/mil/float_format.h"
#include "pyane/mil/limits.h"
#include "pyane/mil/number.h"

namespace pyane::mil {
namespace {

TensorBytes bytes_of(std::uint64_t bits, DType dtype) {
  TensorBytes bytes(dtype_size(dtype));
  std::memcpy(bytes.data(), &bits, bytes.size());
  return bytes;
}

template <typename T>
const T* find_by_name(const std::vector<T>& items, std::string_view name) {
  const auto found =
      std::find_if(items.begin(), items.end(), [&](const T& item) { return item.name == name; });
  return found == items.end() ? nullptr : &*found;
}

}  // namespace

Type Type::tensor(DType dtype, Shape dims) {
  Type type;
  type.dtype = dtype;
  type.dims = std::move(dims);
  return type;
}

Type Type::scalar(DType dtype) {
  Type type;
  type.dtype = dtype;
  type.short_form = true;
  return type;
}

bool same_type(const Type& a, const Type& b) {
  return a.kind == b.kind && a.dtype == b.dtype && a.dims == b.dims && a.length == b.length &&
         a.strides == b.strides && a.interleave_factors == b.interleave_factors &&
         std::equal(a.elements.begin(), a.elements.end(), b.elements.begin(), b.elements.end(),
                    same_type);
}

Literal Literal::of(bool value) {
  return {.type = Type::scalar(DType::kBool),
          .payload = bytes_of(value ? 1 : 0, DType::kBool),
          .location = {}};
}

Literal Literal::of(std::int64_t value, DType dtype) {
  const IntegerRange range = integer_range(dtype);
  if (value < range.low || (value > 0 && static_cast<std::uint64_t>(value) > range.high)) {
    throw ShapeError(std::string(dtype_name(dtype)) + " literal must be in [" +
                     std::to_string(range.low) + ", " + std::to_string(range.high) + "], got " +
                     std::to_string(value));
  }
  return {.type = Type::scalar(dtype),
          .payload = bytes_of(static_cast<std::uint64_t>(value), dtype),
          .location = {}};
}

Literal Literal::of(double value, DType dtype) {
  Literal literal{.type = Type::scalar(dtype), .payload = {}, .location = {}};
  TensorBytes bytes(dtype_size(dtype));
  std::string text;
  TensorBytes exact(sizeof(value));
  std::memcpy(exact.data(), &value, sizeof(value));
  append_number(text, DType::kFp64, exact.data(), FloatStyle::kHexadecimal);
  if (parse_number(text, dtype, bytes.data()) != NumberStatus::kOk) {
    throw ShapeError(std::string(dtype_name(dtype)) + " literal must be in the range of " +
                     std::string(dtype_name(dtype)) + ", got " + std::to_string(value));
  }
  literal.payload = std::move(bytes);
  return literal;
}

Literal Literal::of(std::string value) {
  return {.type = Type::scalar(DType::kString),
          .payload = std::vector<std::string>{std::move(value)},
          .location = {}};
}

Literal Literal::of(const std::vector<std::int64_t>& values) {
  TensorBytes bytes;
  for (const std::int64_t value : values) {
    const Literal element = of(value, DType::kInt32);
    const auto& element_bytes = std::get<TensorBytes>(element.payload);
    bytes.insert(bytes.end(), element_bytes.begin(), element_bytes.end());
  }
  return {.type = Type::tensor(DType::kInt32, {static_cast<std::int64_t>(values.size())}),
          .payload = std::move(bytes),
          .location = {}};
}

const Argument* Operation::find_argument(std::string_view argument) const {
  return find_by_name(arguments, argument);
}

const Attribute* Operation::find_attribute(std::string_view attribute) const {
  return find_by_name(attributes, attribute);
}

std::string Operation::display_name() const {
  if (const Attribute* const attribute = find_attribute("name")) {
    const auto* const strings = std::get_if<std::vector<std::string>>(&attribute->value.payload);
    if (strings != nullptr && strings->size() == 1) return strings->front();
  }
  return outputs.empty() ? std::string() : outputs.front().name;
}

const Function* Program::find_function(std::string_view function) const {
  return find_by_name(functions, function);
}

const Function& choose_function(const Program& program, const std::string& name) {
  std::string names;
  for (const Function& function : program.functions) {
    names += (names.empty() ? "" : ", ") + function.name;
  }
  const std::string where = program.source_name + ": ";
  if (program.functions.empty()) throw CompileError(where + "the program has no function");
  if (name.empty() && program.functions.size() == 1) return program.functions.front();
  const std::string wanted = name.empty() ? "main" : name;
  const Function* function = program.find_function(wanted);
  if (function != nullptr) return *function;
  throw CompileError(where +
                     (name.empty() ? "the program has several functions and none is "
                                     "'main'; name one of them: "
                                   : "there is no function '" + name + "'; functions: ") +
                     names);
}

int depth(const Type& type) {
  int deepest = 0;
  for (const Type& element : type.elements) deepest = std::max(deepest, depth(element));
  return deepest + 1;
}

int depth(const Literal& literal) {
  int deepest = depth(literal.type) - 1;
  if (const auto* const items = std::get_if<std::vector<Literal>>(&literal.payload)) {
    for (const Literal& item : *items) deepest = std::max(deepest, depth(item));
  }
  return deepest + 1;
}

int depth(const Block& block) {
  int deepest = 0;
  for (const Operation& operation : block.operations) {
    for (const Block& nested : operation.blocks) deepest = std::max(deepest, depth(nested));
  }
  return deepest + 1;
}

std::size_t memory_bytes(const Type& type) {
  std::size_t bytes =
      sizeof(Type) + sizeof(std::int64_t) *
                         (type.dims.size() + type.strides.size() + type.interleave_factors.size());
  for (const Type& element : type.elements) bytes += memory_bytes(element);
  return bytes;
}

}  // namespace pyane::mil
