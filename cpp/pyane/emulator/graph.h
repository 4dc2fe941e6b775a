#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "pyane/emulator/fusion.h"
#include "pyane/emulator/tensor_view.h"
#include "pyane/mil/verifier.h"

namespace pyane::emulator {

using mil::ValueId;

/// What the planner asks about a function: the operations that its outputs need, with their
/// kernels, and who makes and reads each value. Refers to the function, which must outlive it.
struct Graph {
  /// @throws UnsupportedOpError  for the first operation without a kernel.
  explicit Graph(const mil::VerifiedFunction& verified);

  const mil::VerifiedFunction& function;
  std::vector<Node> nodes;  ///< In program order.
  std::unordered_map<ValueId, std::size_t> producer;
  std::unordered_map<ValueId, std::vector<std::size_t>> consumers;

  const mil::VerifiedValue& value_of(ValueId value) const {
    return function.values[static_cast<std::size_t>(value)];
  }
  /// For messages.
  std::string describe(ValueId value) const;
  /// Contiguous. @throws CompileError  for what cannot be stored.
  TensorLayout layout_of(ValueId value) const;
  mil::OpContext context(std::size_t node) const {
    return function.context(*nodes[node].operation);
  }
  bool is_output(ValueId value) const {
    return std::find(function.outputs.begin(), function.outputs.end(), value) !=
           function.outputs.end();
  }
  bool is_read_outside(ValueId value, const NodeGroup& group) const;
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
