#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "pyane/emulator/graph.h"
#include "pyane/emulator/kernels/attention_tiles.h"

namespace pyane::emulator {

/// Attention written as operations of its own: matmul, maybe mul or real_div by a number, maybe add
/// of a mask, softmax along the last axis, matmul. Nobody else reads what is in between, but for
/// the weights (the softmax's result), and those only after the last matmul.
struct AttentionNodes {
  std::size_t scores = 0;  ///< The first matmul.
  std::optional<std::size_t> scaling;
  std::optional<std::size_t> masking;
  std::size_t softmax = 0;
  std::size_t result = 0;  ///< The second matmul.

  ValueId mask = -1;               ///< An operand of `masking`.
  ValueId factor = -1;             ///< An operand of `scaling`.
  bool weights_are_right = false;  ///< result = value @ weights^T, else weights @ value.
  bool stores_weights = false;

  /// In program order.
  NodeGroup group() const;
};

/// All attention in the graph that make_attention evaluates faster than its operations one by one.
std::vector<AttentionNodes> find_attention(const Graph& graph);

/// Turns attention into a step. The planner says where inputs and outputs are.
class AttentionBuilder {
 public:
  AttentionBuilder(const Graph& graph, const AttentionNodes& nodes)
      : graph_(graph), nodes_(nodes) {}

  /// What the step reads (query, key, value, maybe mask) and writes (result, maybe weights).
  std::vector<ValueId> inputs() const;
  std::vector<ValueId> outputs() const;

  /// @param inputs, outputs  In the order above, with data for constants.
  /// @param factor  Element of AttentionNodes::factor, if that is given.
  std::unique_ptr<Step> make(const std::vector<TensorView>& inputs,
                             const std::vector<TensorLayout>& outputs, float factor) const;

 private:
  /// A matmul's operand turns its last two dimensions over.
  bool is_transposed(std::size_t node, bool is_right) const;

  const Graph& graph_;
  const AttentionNodes& nodes_;
};

}  // namespace pyane::emulator
