#include "pyane/mil/verifier.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/base/interrupt.h"
#include "pyane/mil/limits.h"
#include "pyane/mil/verifier_state.h"

namespace pyane::mil {

bool merge(Type& inferred, const Type& declared) {
  if (inferred.kind != declared.kind || inferred.dims.size() != declared.dims.size()) return false;
  const bool has_dtype =
      inferred.kind == Type::Kind::kTensor || inferred.kind == Type::Kind::kTensorBuffer;
  if (has_dtype && inferred.dtype != declared.dtype) return false;
  for (std::size_t i = 0; i < inferred.dims.size(); ++i) {
    if (inferred.dims[i] == kUnknownDim) {
      inferred.dims[i] = declared.dims[i];
    } else if (declared.dims[i] != kUnknownDim && declared.dims[i] != inferred.dims[i]) {
      return false;
    }
  }
  if (inferred.kind == Type::Kind::kTensorBuffer) {
    return inferred.strides == declared.strides &&
           inferred.interleave_factors == declared.interleave_factors;
  }
  if (inferred.kind == Type::Kind::kList) {
    if (inferred.length == kUnknownDim) inferred.length = declared.length;
    return (declared.length == kUnknownDim || declared.length == inferred.length) &&
           inferred.elements.size() == declared.elements.size() &&
           std::equal(inferred.elements.begin(), inferred.elements.end(), declared.elements.begin(),
                      [](const Type& a, const Type& b) {
                        Type merged = a;
                        return merge(merged, b);
                      });
  }
  return has_dtype || std::equal(inferred.elements.begin(), inferred.elements.end(),
                                 declared.elements.begin(), declared.elements.end(), same_type);
}

VerifiedFunction Verifier::run() {
  check_function_names();
  for (const Value& parameter : function_.parameters) add_parameter(parameter);
  add_operations(function_.body.operations, result_.operations);
  for (const Operand& output : function_.body.outputs) add_output(output);
  return std::move(result_);
}

std::vector<Type> Verifier::infer(const Operation& operation,
                                  const std::vector<KnownValue>& values) {
  for (const KnownValue& known : values) {
    VerifiedValue value{.name = {}, .type = known.type, .constant = nullptr};
    if (known.is_constant) {
      Constant unread;
      unread.type = known.type;
      unread.is_missing = true;
      value.constant = std::make_shared<const Constant>(std::move(unread));
    }
    add_value({.type = known.type, .name = known.name, .location = {}}, std::move(value));
  }
  operation_ = &operation;
  VerifiedOperation verified = check_arguments(operation);
  return infer_checked(verified);
}

std::string Verifier::place(const Location& at) const {
  std::string text;
  if (at.line > 0) {
    text = program_.source_name + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) +
           ": ";
  }
  if (operation_ != nullptr) {
    return text + operation_->type + " '" + operation_->display_name() + "': ";
  }
  return text + "func '" + function_.name + "': ";
}

void Verifier::fail(const Location& at, const std::string& message) const {
  throw MilVerifyError(place(at) + message, operation_ == nullptr ? "" : operation_->type, at.line,
                       at.column);
}

void Verifier::check_function_names() const {
  const auto is_same = [&](const Function& other) { return other.name == function_.name; };
  if (std::count_if(program_.functions.begin(), program_.functions.end(), is_same) > 1) {
    fail(function_.location, "is defined twice in the program");
  }
}

void Verifier::check_dims(const Value& value) const {
  const Type& type = value.type.kind == Type::Kind::kState && !value.type.elements.empty()
                         ? value.type.elements.front()
                         : value.type;
  for (const std::int64_t dim : type.dims) {
    if (dim == kUnknownDim || dim > 0) continue;
    fail(value.location,
         "'" + value.name + "' must have positive dimensions, got " + to_string(value.type));
  }
}

void Verifier::add_parameter(const Value& parameter) {
  const Type& type = parameter.type;
  const bool is_state = type.kind == Type::Kind::kState && type.elements.size() == 1 &&
                        type.elements.front().is_tensor();
  const bool is_array =
      (type.is_tensor() || type.kind == Type::Kind::kTensorBuffer) && type.dtype != DType::kString;
  if (!is_array && !is_state) {
    fail(parameter.location, "parameter '" + parameter.name +
                                 "' must be a tensor, a tensor_buffer or a state of a tensor "
                                 "(of numbers or bools), got " +
                                 to_string(type));
  }
  check_dims(parameter);
  result_.parameters.push_back(
      add_value(parameter, {.name = {}, .type = type, .constant = nullptr}));
}

void Verifier::add_operations(const std::vector<Operation>& operations,
                              std::vector<VerifiedOperation>& verified) {
  for (const Operation& operation : operations) {
    check_interrupt();
    operation_ = &operation;
    if (operation.type == "const") {
      add_constant(operation);
    } else {
      add_operation(operation, verified);
    }
  }
  operation_ = nullptr;
}

void Verifier::add_operation(const Operation& operation,
                             std::vector<VerifiedOperation>& operations) {
  VerifiedOperation verified = check_arguments(operation);
  std::vector<Type> types = infer_checked(verified);
  leave_out_empty_values(verified);
  const std::vector<Value>& declared = operation.outputs;
  if (types.size() != declared.size()) {
    fail(operation.location, "has " + std::to_string(types.size()) + " results, got " +
                                 std::to_string(declared.size()) + " declared");
  }
  for (std::size_t i = 0; i < types.size(); ++i) {
    const std::string inferred = to_string(types[i]);
    if (!merge(types[i], declared[i].type)) {
      fail(declared[i].location, "'" + declared[i].name + "' is declared as " +
                                     to_string(declared[i].type) + ", but the result is " +
                                     inferred);
    }
  }
  const auto constants = fold(verified, types);
  const bool is_outermost = &operations == &result_.operations;
  const int index = is_outermost ? static_cast<int>(operations.size()) : -1;
  for (std::size_t i = 0; i < types.size(); ++i) {
    verified.outputs.push_back(
        add_value(declared[i], {.name = {},
                                .type = std::move(types[i]),
                                .constant = constants.empty() ? nullptr : constants[i],
                                .producer = index,
                                .is_constexpr = verified.record->is_constexpr}));
  }
  operations.push_back(std::move(verified));
}

// Inference may multiply dimensions, or take them from arguments.
std::vector<Type> Verifier::infer_checked(const VerifiedOperation& verified) const {
  std::vector<Type> types = verified.record->infer(result_.context(verified));
  for (const Type& type : types) {
    bool is_valid = true;
    double count = 1;
    for (const std::int64_t dim : type.dims) {
      if (dim == kUnknownDim) continue;
      is_valid = is_valid && dim >= 1 && dim <= kMaxDimension;
      count *= static_cast<double>(dim);
    }
    if (is_valid && count <= static_cast<double>(kMaxElements) && type.dims.size() <= kMaxRank) {
      continue;
    }
    fail(verified.operation->location,
         "the result must have dimensions in [1, " + std::to_string(kMaxDimension) + "], " +
             std::to_string(kMaxRank) + " of them and " + std::to_string(kMaxElements) +
             " elements at most, got " + to_string(type.dims));
  }
  return types;
}

void Verifier::add_output(const Operand& output) {
  if (!output.is_name()) fail(output.location, "an output must be the name of a value");
  const ValueId id = resolve(output);
  if (std::find(result_.outputs.begin(), result_.outputs.end(), id) != result_.outputs.end()) {
    fail(output.location, "output '" + output.name() + "' is listed twice");
  }
  const Type& type = result_.values[static_cast<std::size_t>(id)].type;
  if (!type.is_tensor() && type.kind != Type::Kind::kTensorBuffer) {
    fail(output.location,
         "output '" + output.name() + "' must be a tensor, got " + to_string(type));
  }
  result_.outputs.push_back(id);
}

OpContext VerifiedFunction::context(const VerifiedOperation& operation) const {
  OpContext context(*operation.operation, *operation.record, source_name);
  for (const VerifiedInput& input : operation.inputs) {
    OpContext::Bound bound;
    for (const ValueId id : input.values) {
      const VerifiedValue& value = values[static_cast<std::size_t>(id)];
      bound.types.push_back(&value.type);
      bound.constants.push_back(value.constant.get());
    }
    context.bind(input.spec->name, std::move(bound));
  }
  const auto types_of = [&](const std::vector<ValueId>& ids) {
    std::vector<const Type*> types;
    for (const ValueId id : ids) types.push_back(&values[static_cast<std::size_t>(id)].type);
    return types;
  };
  for (const VerifiedBlock& block : operation.blocks) {
    context.add_block(
        {.parameters = types_of(block.parameters), .outputs = types_of(block.outputs)});
  }
  return context;
}

const VerifiedInput* VerifiedOperation::find_input(std::string_view name) const {
  const auto found = std::find_if(inputs.begin(), inputs.end(), [&](const VerifiedInput& input) {
    return input.spec->name == name;
  });
  return found == inputs.end() ? nullptr : &*found;
}

VerifiedFunction verify(const Program& program, const Function& function,
                        const WeightFiles* weights, const EvaluateConstant& evaluate,
                        const WarningSink& warn) {
  return Verifier(program, function, weights, evaluate, warn).run();
}

std::vector<Type> infer_types(const Operation& operation, const std::vector<KnownValue>& values) {
  const Program program;
  const Function function;
  return Verifier(program, function, nullptr, {}).infer(operation, values);
}

}  // namespace pyane::mil
