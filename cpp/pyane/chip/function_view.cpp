#include "pyane/chip/function_view.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "pyane/base/error.h"
#include "pyane/base/half.h"
#include "pyane/chip/ranges.h"
#include "pyane/mil/number.h"

namespace pyane::chip {
namespace {

const Shape kNoDims;

const Shape& dims_of(const mil::Type* type) {
  if (type == nullptr) return kNoDims;
  if (type->kind == mil::Type::Kind::kState && !type->elements.empty()) {
    return type->elements.front().dims;
  }
  return type->dims;
}

bool is_constexpr(std::string_view op_type) { return op_type.starts_with("constexpr_"); }

const mil::Literal* literal_of_const(const mil::Operation& operation) {
  if (operation.type != "const") return nullptr;
  if (const mil::Attribute* attribute = operation.find_attribute("val")) return &attribute->value;
  const mil::Argument* argument = operation.find_argument("val");
  if (argument == nullptr || argument->operands.empty() || argument->operands[0].is_name()) {
    return nullptr;
  }
  return &argument->operands[0].literal();
}

}  // namespace

const Shape& InputView::dims() const { return dims_of(type); }
const Shape& ValueView::dims() const { return dims_of(type); }

const InputView* OpView::input(std::string_view name) const {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return &inputs[i];
  }
  return nullptr;
}

bool only_moves_elements(std::string_view op_type) {
  static constexpr std::array<std::string_view, 20> kMovers = {"batch_to_space",
                                                               "depth_to_space",
                                                               "expand_dims",
                                                               "flatten2d",
                                                               "identity",
                                                               "pixel_shuffle",
                                                               "pixel_unshuffle",
                                                               "reshape",
                                                               "reshape_like",
                                                               "reverse",
                                                               "slice_by_index",
                                                               "slice_by_size",
                                                               "space_to_batch",
                                                               "space_to_depth",
                                                               "split",
                                                               "squeeze",
                                                               "tensor_buffer_to_tensor",
                                                               "tensor_to_tensor_buffer",
                                                               "tile",
                                                               "transpose"};
  return std::find(kMovers.begin(), kMovers.end(), op_type) != kMovers.end();
}

FunctionView::FunctionView(const mil::Function& function, const mil::WeightFiles& weights)
    : function_(function), weights_(weights) {
  for (const mil::Value& parameter : function.parameters) {
    values_[static_cast<std::size_t>(add_value(parameter))].is_parameter = true;
  }
  add_block(function.body);
  for (const mil::Operand& output : function.body.outputs) {
    const InputView view = resolve(output);
    outputs_.push_back(view.value);
    if (view.value >= 0) values_[static_cast<std::size_t>(view.value)].is_output = true;
  }
}

FunctionView::~FunctionView() = default;

int FunctionView::add_value(const mil::Value& value) {
  const auto id = static_cast<int>(values_.size());
  ValueView view;
  view.name = value.name;
  view.type = &value.type;
  view.location = value.location;
  values_.push_back(std::move(view));
  names_.insert_or_assign(value.name, id);
  return id;
}

void FunctionView::add_block(const mil::Block& block) {
  for (const mil::Operation& operation : block.operations) add_operation(operation);
}

void FunctionView::add_operation(const mil::Operation& operation) {
  const mil::Literal* literal = literal_of_const(operation);
  if (operation.type == "const") {
    for (const mil::Value& output : operation.outputs) {
      ValueView& value = values_[static_cast<std::size_t>(add_value(output))];
      value.literal = literal;
      value.is_constant = true;
    }
    return;
  }
  OpView op;
  op.index = static_cast<int>(operations_.size());
  op.operation = &operation;
  for (const mil::Argument& argument : operation.arguments) {
    for (const mil::Operand& operand : argument.operands) {
      op.inputs.push_back(resolve(operand));
      op.names.push_back(argument.name);
    }
  }
  if (is_constexpr(operation.type)) {
    for (const mil::Attribute& attribute : operation.attributes) {
      if (attribute.name == "name") continue;
      op.inputs.push_back(resolve(attribute.value));
      op.names.push_back(attribute.name);
    }
  }
  for (const InputView& input : op.inputs) {
    if (input.value < 0) continue;
    std::vector<int>& consumers = values_[static_cast<std::size_t>(input.value)].consumers;
    if (consumers.empty() || consumers.back() != op.index) consumers.push_back(op.index);
  }
  const int index = op.index;
  by_type_[operation.type].push_back(index);
  operations_.push_back(std::move(op));
  for (const mil::Block& block : operation.blocks) {
    for (const mil::Value& parameter : block.parameters) add_value(parameter);
    add_block(block);
  }
  const int origin = origin_of_results(operations_[static_cast<std::size_t>(index)]);
  for (const mil::Value& output : operation.outputs) {
    const int id = add_value(output);
    values_[static_cast<std::size_t>(id)].producer = index;
    values_[static_cast<std::size_t>(id)].origin = origin;
    values_[static_cast<std::size_t>(id)].is_constant = is_constexpr(operation.type);
    operations_[static_cast<std::size_t>(index)].outputs.push_back(id);
  }
}

int FunctionView::origin_of_results(const OpView& op) const {
  if (!only_moves_elements(op.type())) return op.index;
  const InputView* x = op.input("x");
  if (x == nullptr) x = op.input("input");
  const ValueView* value = x == nullptr ? nullptr : value_of(*x);
  return value == nullptr ? -1 : value->origin;
}

InputView FunctionView::resolve(const mil::Literal& literal) const {
  InputView view;
  view.literal = &literal;
  view.type = &literal.type;
  view.location = literal.location;
  return view;
}

InputView FunctionView::resolve(const mil::Operand& operand) const {
  InputView view;
  if (operand.is_name()) {
    const auto found = names_.find(operand.name());
    if (found != names_.end()) {
      const ValueView& value = values_[static_cast<std::size_t>(found->second)];
      view.value = found->second;
      view.literal = value.literal;
      view.type = value.type;
    }
  } else {
    view = resolve(operand.literal());
  }
  view.location = operand.location;
  return view;
}

const std::vector<int>& FunctionView::operations_of(std::string_view type) const {
  static const std::vector<int> kNone;
  const auto found = by_type_.find(type);
  return found == by_type_.end() ? kNone : found->second;
}

std::vector<const OpView*> FunctionView::operations_of(
    std::initializer_list<std::string_view> types) const {
  std::vector<int> indices;
  for (const std::string_view type : types) {
    const std::vector<int>& some = operations_of(type);
    indices.insert(indices.end(), some.begin(), some.end());
  }
  std::sort(indices.begin(), indices.end());
  std::vector<const OpView*> operations;
  for (const int index : indices) {
    operations.push_back(&operations_[static_cast<std::size_t>(index)]);
  }
  return operations;
}

const ValueView* FunctionView::value_of(const InputView& input) const {
  return input.value < 0 ? nullptr : &values_[static_cast<std::size_t>(input.value)];
}

const ValueView& FunctionView::result(const OpView& op, std::size_t i) const {
  static const ValueView kNone;
  return i < op.outputs.size() ? values_[static_cast<std::size_t>(op.outputs[i])] : kNone;
}

const OpView* FunctionView::producer_of(const InputView& input) const {
  const ValueView* value = value_of(input);
  if (value == nullptr || value->producer < 0) return nullptr;
  return &operations_[static_cast<std::size_t>(value->producer)];
}

const OpView* FunctionView::origin_of(const InputView& input) const {
  const ValueView* value = value_of(input);
  if (value == nullptr || value->origin < 0) return nullptr;
  return &operations_[static_cast<std::size_t>(value->origin)];
}

bool FunctionView::is_constant(const InputView& input) const {
  if (input.value < 0) return input.literal != nullptr;
  return values_[static_cast<std::size_t>(input.value)].is_constant;
}

const mil::Constant* FunctionView::constant(const mil::Literal& literal) const {
  const auto [place, is_new] = constants_.try_emplace(&literal);
  if (is_new) {
    try {
      mil::Constant constant = mil::to_constant(literal, &weights_);
      if (!constant.is_missing) {
        place->second = std::make_shared<const mil::Constant>(std::move(constant));
      }
    } catch (const Error&) {
      // A file that is not there or lies: rules/weights.cpp says so; nothing is known of the value.
    }
  }
  return place->second.get();
}

namespace {

// Numbers of a constant one by one; nullopt for what is none.
std::optional<double> number_at(const mil::Constant& constant, std::size_t i) {
  const DType dtype = constant.type.dtype;
  const std::size_t size = dtype_size(dtype);
  if (size == 0 || (i + 1) * size > constant.data.size()) return std::nullopt;
  const std::byte* at = constant.data.data() + i * size;
  const auto load = [at]<class T>(T value) {
    std::memcpy(&value, at, sizeof(T));
    return static_cast<double>(value);
  };
  switch (dtype) {
    case DType::kFp16: {
      half_bits bits = 0;
      std::memcpy(&bits, at, sizeof bits);
      return static_cast<double>(half_to_float(bits));
    }
    case DType::kFp32:
      return load(float{});
    case DType::kFp64:
      return load(double{});
    case DType::kInt16:
      return load(std::int16_t{});
    case DType::kInt32:
      return load(std::int32_t{});
    case DType::kInt64:
      return load(std::int64_t{});
    case DType::kUint16:
      return load(std::uint16_t{});
    case DType::kUint32:
      return load(std::uint32_t{});
    case DType::kUint64:
      return load(std::uint64_t{});
    case DType::kInt4:
    case DType::kInt8:
      return load(std::int8_t{});
    case DType::kBf16:
    case DType::kFp8E4M3FN:
    case DType::kFp8E5M2:
    case DType::kString:
      return std::nullopt;
    default:
      return load(std::uint8_t{});
  }
}

}  // namespace

std::optional<std::vector<std::int64_t>> FunctionView::integers(const OpView& op,
                                                                std::string_view name) const {
  const InputView* input = op.input(name);
  if (input == nullptr || input->literal == nullptr) return std::nullopt;
  const mil::Constant* value = constant(*input->literal);
  if (value == nullptr) return std::nullopt;
  const auto count = element_count(value->type.dims);
  // Arguments are short; a weight is none.
  if (!count || *count > 64 || is_float(value->type.dtype)) return std::nullopt;
  std::vector<std::int64_t> numbers;
  for (std::size_t i = 0; i < static_cast<std::size_t>(*count); ++i) {
    const auto number = number_at(*value, i);
    if (!number) return std::nullopt;
    numbers.push_back(static_cast<std::int64_t>(*number));
  }
  return numbers;
}

std::optional<std::int64_t> FunctionView::integer(const OpView& op, std::string_view name) const {
  const auto numbers = integers(op, name);
  return numbers && numbers->size() == 1 ? std::optional(numbers->front()) : std::nullopt;
}

std::optional<double> FunctionView::real(const OpView& op, std::string_view name) const {
  const InputView* input = op.input(name);
  if (input == nullptr || input->literal == nullptr) return std::nullopt;
  const mil::Constant* value = constant(*input->literal);
  if (value == nullptr || element_count(value->type.dims) != 1) return std::nullopt;
  return number_at(*value, 0);
}

std::optional<bool> FunctionView::boolean(const OpView& op, std::string_view name) const {
  const auto number = real(op, name);
  return number ? std::optional(*number != 0) : std::nullopt;
}

std::optional<std::string> FunctionView::string(const OpView& op, std::string_view name) const {
  const InputView* input = op.input(name);
  if (input == nullptr || input->literal == nullptr) return std::nullopt;
  const auto* strings = std::get_if<std::vector<std::string>>(&input->literal->payload);
  if (strings == nullptr || strings->size() != 1) return std::nullopt;
  return strings->front();
}

const RangeAnalysis& FunctionView::ranges() const {
  if (!ranges_) ranges_ = std::make_unique<RangeAnalysis>(*this);
  return *ranges_;
}

Range FunctionView::range(const InputView& input) const { return ranges().of(input); }

}  // namespace pyane::chip
