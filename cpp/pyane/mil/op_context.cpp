#include <cstring>

#include "pyane/base/error.h"
#include "pyane/base/half.h"
#include "pyane/mil/op_set.h"

namespace pyane::mil {
namespace {

template <typename T>
T load(std::span<const std::byte> data, std::size_t index) {
  T value;
  std::memcpy(&value, data.data() + index * sizeof(T), sizeof(T));
  return value;
}

std::int64_t load_integer(DType dtype, std::span<const std::byte> data, std::size_t index) {
  const bool is_signed = dtype_info(dtype).kind == DTypeKind::kSigned;
  switch (dtype_size(dtype)) {
    case 1:
      return is_signed ? std::int64_t{load<std::int8_t>(data, index)}
                       : std::int64_t{load<std::uint8_t>(data, index)};
    case 2:
      return is_signed ? std::int64_t{load<std::int16_t>(data, index)}
                       : std::int64_t{load<std::uint16_t>(data, index)};
    case 4:
      return is_signed ? std::int64_t{load<std::int32_t>(data, index)}
                       : std::int64_t{load<std::uint32_t>(data, index)};
    default:
      return load<std::int64_t>(data, index);
  }
}

std::size_t count(const Constant& constant) {
  return constant.data.size() / std::max<std::size_t>(dtype_size(constant.type.dtype), 1);
}

std::int64_t spatial_rank(const OpContext& context) {
  const std::size_t rank = context.has("x") ? context.dims("x").size() : 0;
  return rank > 2 ? static_cast<std::int64_t>(rank) - 2 : 0;
}

}  // namespace

OpContext::OpContext(const Operation& operation, const OpRecord& record,
                     std::string_view source_name)
    : operation_(operation), record_(record), source_name_(source_name) {}

void OpContext::bind(std::string_view input, Bound bound) {
  bound_.emplace_back(input, std::move(bound));
}

const OpContext::Bound* OpContext::find(std::string_view input) const {
  for (const auto& [name, bound] : bound_) {
    if (name == input) return &bound;
  }
  return nullptr;
}

bool OpContext::has(std::string_view input) const { return find(input) != nullptr; }

const Type& OpContext::type(std::string_view input) const {
  const Bound* bound = find(input);
  if (bound == nullptr || bound->types.empty()) {
    fail("needs the argument '" + std::string(input) + "'");
  }
  return *bound->types.front();
}

const std::vector<const Type*>& OpContext::types(std::string_view input) const {
  const Bound* bound = find(input);
  if (bound == nullptr) fail("needs the argument '" + std::string(input) + "'");
  return bound->types;
}

const Constant* OpContext::constant(std::string_view input) const {
  const Bound* bound = find(input);
  if (bound == nullptr || bound->constants.empty()) return nullptr;
  const Constant* value = bound->constants.front();
  return value != nullptr && value->is_missing ? nullptr : value;
}

namespace {

// The given value, or nullptr when the input is absent and the default counts.
const Constant* given(const OpContext& context, std::string_view input, const char* kind) {
  if (!context.has(input)) return nullptr;
  const Constant* value = context.constant(input);
  if (value == nullptr) {
    context.fail(std::string(input) + " must be a constant " + kind +
                 " whose value is known here, got one of type " + to_string(context.type(input)));
  }
  return value;
}

template <typename T>
const T& default_of(const OpContext& context, std::string_view input) {
  const InputSpec* spec = context.record().find_input(input);
  const T* value = spec == nullptr ? nullptr : std::get_if<T>(&spec->default_value);
  if (value == nullptr) context.fail("needs the argument '" + std::string(input) + "'");
  return *value;
}

[[noreturn]] void fail_kind(const OpContext& context, std::string_view input, const char* kind,
                            const Constant& value) {
  context.fail(std::string(input) + " must be " + kind + ", got " + to_string(value.type));
}

}  // namespace

bool OpContext::boolean(std::string_view input) const {
  const Constant* value = given(*this, input, "bool");
  if (value == nullptr) return default_of<bool>(*this, input);
  if (value->type.dtype != DType::kBool || count(*value) != 1) {
    fail_kind(*this, input, "a bool", *value);
  }
  return load<std::uint8_t>(value->data, 0) != 0;
}

std::int64_t OpContext::integer(std::string_view input) const {
  const Constant* value = given(*this, input, "integer");
  if (value == nullptr) return default_of<std::int64_t>(*this, input);
  if (!is_integer(value->type.dtype) || count(*value) != 1) {
    fail_kind(*this, input, "an integer", *value);
  }
  return load_integer(value->type.dtype, value->data, 0);
}

double OpContext::real(std::string_view input) const {
  const Constant* value = given(*this, input, "number");
  if (value == nullptr) return default_of<double>(*this, input);
  if (count(*value) != 1) fail_kind(*this, input, "one number", *value);
  switch (value->type.dtype) {
    case DType::kFp16:
      return double{half_to_float(load<half_bits>(value->data, 0))};
    case DType::kFp32:
      return double{load<float>(value->data, 0)};
    case DType::kFp64:
      return load<double>(value->data, 0);
    default:
      if (!is_integer(value->type.dtype)) fail_kind(*this, input, "a number", *value);
      return static_cast<double>(load_integer(value->type.dtype, value->data, 0));
  }
}

std::string OpContext::string(std::string_view input) const {
  const Constant* value = given(*this, input, "string");
  if (value == nullptr) return default_of<std::string>(*this, input);
  if (value->strings.size() != 1) fail_kind(*this, input, "a string", *value);
  return value->strings.front();
}

std::vector<std::int64_t> OpContext::integers(std::string_view input) const {
  const Constant* value = given(*this, input, "list of integers");
  if (value == nullptr) {
    const InputSpec* spec = record_.find_input(input);
    if (spec != nullptr && std::holds_alternative<Fill>(spec->default_value)) {
      const Fill fill = std::get<Fill>(spec->default_value);
      return std::vector<std::int64_t>(
          static_cast<std::size_t>(spatial_rank(*this) * fill.per_spatial_dim), fill.value);
    }
    return default_of<std::vector<std::int64_t>>(*this, input);
  }
  if (!is_integer(value->type.dtype) || value->type.dims.size() > 1) {
    fail_kind(*this, input, "a vector of integers", *value);
  }
  std::vector<std::int64_t> result(count(*value));
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = load_integer(value->type.dtype, value->data, i);
  }
  return result;
}

std::vector<std::int64_t> OpContext::matrix(std::string_view input) const {
  const Constant* value = given(*this, input, "tensor of integers");
  if (value == nullptr) return {};
  if (!is_integer(value->type.dtype)) fail_kind(*this, input, "integers", *value);
  std::vector<std::int64_t> result(count(*value));
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = load_integer(value->type.dtype, value->data, i);
  }
  return result;
}

std::vector<std::int64_t> OpContext::integers_of(std::string_view input) const {
  const Bound* bound = find(input);
  if (bound == nullptr) fail("needs the argument '" + std::string(input) + "'");
  std::vector<std::int64_t> result;
  for (std::size_t i = 0; i < bound->types.size(); ++i) {
    const Constant* value = bound->constants[i];
    const DType dtype = bound->types[i]->dtype;
    const bool is_known = value != nullptr && !value->is_missing && count(*value) == 1;
    if (!is_known || !(is_integer(dtype) || dtype == DType::kBool)) {
      fail(std::string(input) + " must be constants whose values are known here, got " +
           to_string(*bound->types[i]) + " at " + std::to_string(i));
    }
    result.push_back(load_integer(dtype, value->data, 0));
  }
  return result;
}

std::vector<bool> OpContext::booleans(std::string_view input) const {
  const Constant* value = given(*this, input, "list of bools");
  if (value == nullptr) return {};
  if (value->type.dtype != DType::kBool || value->type.dims.size() > 1) {
    fail_kind(*this, input, "a vector of bools", *value);
  }
  std::vector<bool> result(count(*value));
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = load<std::uint8_t>(value->data, i) != 0;
  }
  return result;
}

std::int64_t OpContext::axis(std::string_view input, std::size_t rank) const {
  const std::int64_t value = integer(input);
  const auto n = static_cast<std::int64_t>(rank);
  if (value < -n || value >= n) {
    fail(std::string(input) + " must lie in [" + std::to_string(-n) + ", " + std::to_string(n) +
         "), got " + std::to_string(value));
  }
  return value < 0 ? value + n : value;
}

void OpContext::fail(const std::string& message) const {
  const Location& at = operation_.location;
  std::string where;
  if (at.line > 0) {
    where = source_name_ + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) + ": ";
  }
  throw MilVerifyError(where + operation_.type + " '" + operation_.display_name() + "': " + message,
                       operation_.type, at.line, at.column);
}

}  // namespace pyane::mil
