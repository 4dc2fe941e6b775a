#pragma once

#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include "pyane/emulator/graph.h"
#include "pyane/emulator/kernels/fused.h"

namespace pyane::emulator {

/// Turns a group of nodes into a fused chain. The planner says where its inputs and outputs are.
class ChainBuilder {
 public:
  /// A value from outside, of the broadcast shape of its own or a vector over dimension 1.
  struct Input {
    ValueId value = -1;
    bool is_channel = false;
  };

  /// @throws CompileError  for element types that chains do not know.
  ChainBuilder(const Graph& graph, const NodeGroup& group);

  /// What the chain reads and stores, each in the order in which the step has it.
  const std::vector<Input>& inputs() const { return inputs_; }
  const std::vector<ValueId>& outputs() const { return outputs_; }

  void add_input(const Input& input, const TensorLayout& layout);
  void add_output(const TensorLayout& layout);
  /// The chain, when all inputs and outputs have been added.
  FusedChain take() { return std::move(chain_); }

 private:
  void find_inputs();
  void find_outputs();
  void add_operations();
  void add_tile_operation(const Node& node, std::size_t member);
  void add_along_axis(const Node& node);
  std::size_t add(FusedOperation operation);
  bool is_inside(ValueId value) const;
  void require_tile_dtype(ValueId value) const;

  const Graph& graph_;
  const NodeGroup& group_;
  Shape dims_;
  std::vector<Input> inputs_;
  std::vector<ValueId> outputs_;
  std::map<std::pair<ValueId, bool>, std::size_t> number_;  ///< By value and whether per channel.
  FusedChain chain_;
};

}  // namespace pyane::emulator
