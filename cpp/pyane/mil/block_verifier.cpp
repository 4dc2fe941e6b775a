#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/mil/verifier_state.h"

namespace pyane::mil {

void Verifier::add_blocks(VerifiedOperation& verified) {
  const Operation& operation = *verified.operation;
  const auto wanted = static_cast<std::size_t>(verified.record->n_blocks);
  if (operation.blocks.size() != wanted) {
    fail(operation.location, "has " + std::to_string(wanted) + " blocks, got " +
                                 std::to_string(operation.blocks.size()));
  }
  for (const Block& block : operation.blocks) {
    verified.blocks.push_back(add_block(verified, block));
    operation_ = &operation;
  }
}

VerifiedBlock Verifier::add_block(const VerifiedOperation& outer, const Block& block) {
  const VerifiedInput* given = outer.find_input(outer.record->block_parameters);
  const std::size_t n_given = given == nullptr ? 0 : given->values.size();
  if (block.parameters.size() != n_given) {
    fail(outer.operation->location,
         "block '" + block.name + "' must have " + std::to_string(n_given) + " parameters" +
             (n_given > 0 ? ", one for each of " + outer.record->block_parameters : "") + ", got " +
             std::to_string(block.parameters.size()));
  }
  VerifiedBlock result;
  const std::size_t n_outer_names = scope_.size();
  for (std::size_t i = 0; i < n_given; ++i) {
    const Value& parameter = block.parameters[i];
    Type type = result_.values[static_cast<std::size_t>(given->values[i])].type;
    const std::string of_operand = to_string(type);
    if (!merge(type, parameter.type)) {
      fail(parameter.location, "parameter '" + parameter.name + "' of block '" + block.name +
                                   "' is declared as " + to_string(parameter.type) +
                                   ", but its operand is " + of_operand);
    }
    result.parameters.push_back(
        add_value(parameter, {.name = {}, .type = std::move(type), .constant = nullptr}));
  }
  add_operations(block.operations, result.operations);
  for (const Operand& output : block.outputs) result.outputs.push_back(resolve(output));
  for (; scope_.size() > n_outer_names; scope_.pop_back()) names_.erase(scope_.back());
  return result;
}

// The results of `verified` where they can be known now, else nothing.
std::vector<std::shared_ptr<const Constant>> Verifier::fold(const VerifiedOperation& verified,
                                                            const std::vector<Type>& types) const {
  if (!evaluate_ || types.empty() || verified.record->is_impure) return {};
  if (verified.record->is_constexpr) return {};
  if (verified.record->name == "cond") return fold_cond(verified);
  if (!verified.blocks.empty()) return {};
  for (const Type& type : types) {
    if (!type.is_tensor() || type.dtype == DType::kString || dtype_info(type.dtype).bits < 8 ||
        element_count(type.dims).value_or(kMaxFoldedElements + 1) > kMaxFoldedElements) {
      return {};
    }
  }
  for (const VerifiedInput& input : verified.inputs) {
    for (const ValueId id : input.values) {
      const VerifiedValue& value = result_.values[static_cast<std::size_t>(id)];
      const Constant* constant = value.constant.get();
      if (input.spec->is_type_only && element_count(value.type.dims)) continue;
      if (constant == nullptr || constant->is_missing) return {};
    }
  }
  try {
    return evaluate_(result_, verified, types);
  } catch (const UnsupportedOpError&) {
    return {};
  } catch (const CompileError&) {
    return {};  // Who compiles it will say so, if the result is needed.
  } catch (const EvaluateError& error) {
    fail(verified.operation->location, error.what());
  }
}

// The constants of the branch that a known predicate chooses.
std::vector<std::shared_ptr<const Constant>> Verifier::fold_cond(
    const VerifiedOperation& verified) const {
  const auto& pred = result_.values[static_cast<std::size_t>(verified.inputs[0].values[0])];
  if (pred.constant == nullptr || pred.constant->is_missing) return {};
  std::vector<std::shared_ptr<const Constant>> constants;
  for (const ValueId id : verified.blocks[pred.constant->data[0] != std::byte{0} ? 0 : 1].outputs) {
    const auto& constant = result_.values[static_cast<std::size_t>(id)].constant;
    if (constant == nullptr || constant->is_missing) return {};
    constants.push_back(constant);
  }
  return constants;
}

}  // namespace pyane::mil
