#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "pyane/emulator/fusion.h"
#include "pyane/emulator/tensor_view.h"
#include "pyane/mil/verifier.h"

namespace pyane::emulator {

using mil::ValueId;

/// What has been made when compiling a function, in bytes.
struct ConstantBudget {
  std::int64_t folded_bytes = 0;    ///< Results of operations of constants.
  std::int64_t unpacked_bytes = 0;  ///< Compressed weights.
};

/// What is planned together: the body of a function, or a block nested in one of its operations.
struct Unit {
  const mil::VerifiedFunction& function;
  std::span<const mil::VerifiedOperation> operations;
  std::vector<ValueId> parameters;  ///< Tensors and lists; of a block also what it takes from
                                    ///< outside.
  std::vector<ValueId> states;
  std::vector<ValueId> outputs;  ///< Without repetition.
  std::shared_ptr<ConstantBudget> budget;
};

/// The body of a function, its parameters and outputs in the order of their names.
Unit unit_of(const mil::VerifiedFunction& function);

/// Values that a block reads but does not define, constants left out, in the order of their
/// definition. States are among them.
std::vector<ValueId> captured_by(const mil::VerifiedFunction& function,
                                 const mil::VerifiedBlock& block);

/// States that a block writes.
std::vector<ValueId> states_written_by(const mil::VerifiedBlock& block);

/// What the planner asks about a unit: the operations that its outputs and states need, with their
/// kernels, and who makes and reads each value. Refers to the function, which must outlive it.
struct Graph {
  /// @throws UnsupportedOpError  for the first operation without a kernel.
  /// @param find  Where to look kernels up; must know the same operations as find_kernel.
  explicit Graph(const Unit& unit, FindKernel find = &find_kernel);

  const mil::VerifiedFunction& function;
  std::vector<ValueId> outputs;
  std::shared_ptr<ConstantBudget> budget;
  std::vector<Node> nodes;  ///< In program order.
  std::unordered_map<ValueId, std::size_t> producer;
  std::unordered_map<ValueId, std::vector<std::size_t>> consumers;

  const mil::VerifiedValue& value_of(ValueId value) const {
    return function.values[static_cast<std::size_t>(value)];
  }
  /// For messages.
  std::string describe(ValueId value) const;
  /// Contiguous; a list is laid out as one tensor of its elements, a state as the tensor it holds.
  /// @throws CompileError  for what cannot be stored.
  TensorLayout layout_of(ValueId value) const;
  mil::OpContext context(std::size_t node) const {
    return function.context(*nodes[node].operation);
  }
  bool is_output(ValueId value) const {
    return std::find(outputs.begin(), outputs.end(), value) != outputs.end();
  }
  bool is_read_outside(ValueId value, const NodeGroup& group) const;
  /// Whether the value is worked out when compiling.
  bool is_known(ValueId value) const {
    const auto found = producer.find(value);
    return found == producer.end() ? value_of(value).constant != nullptr
                                   : nodes[found->second].is_known;
  }

 private:
  /// Whether `node` is evaluated when compiling if its operands are known.
  bool can_be_known(const Node& node);
};

/// The memory of a value that is part of a later value's: an operand of concat or stack that its
/// producer writes in place, or one whose reshaped or transposed form is what must be contiguous.
struct Home {
  std::size_t node = 0;   ///< That makes the later value.
  std::size_t input = 0;  ///< Which of its operands the value is.
};

/// Homes by value. Whether strides can express one is seen when memory is laid out.
std::unordered_map<ValueId, Home> choose_homes(const Graph& graph);

}  // namespace pyane::emulator
