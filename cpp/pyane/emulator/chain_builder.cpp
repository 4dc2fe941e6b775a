#include "pyane/emulator/chain_builder.h"

#include <algorithm>
#include <string>

#include "pyane/base/error.h"
#include "pyane/emulator/iteration.h"

namespace pyane::emulator {
namespace {

/// A vector [C] as [1, C, 1, ...].
TensorLayout along_channels(const TensorLayout& vector, std::size_t rank) {
  TensorLayout layout;
  layout.dtype = vector.dtype;
  layout.rank = static_cast<int>(rank);
  for (std::size_t i = 0; i < rank; ++i) layout.dims[i] = 1;
  layout.dims[1] = vector.dims[0];
  layout.strides[1] = vector.strides[0];
  return layout;
}

}  // namespace

ChainBuilder::ChainBuilder(const Graph& graph, const NodeGroup& group)
    : graph_(graph), group_(group) {
  ChainShape shape = *chain_shape(graph.nodes[group[0]], graph.function);
  // Not by combining them in this order: one of reduced values may come first.
  for (const std::size_t member : group) {
    const ChainShape own = *chain_shape(graph.nodes[member], graph.function);
    if (own.axis >= 0) shape = own;
  }
  dims_ = shape.dims;
  chain_.axis = shape.axis;
  find_inputs();
  add_operations();
  find_outputs();
}

bool ChainBuilder::is_inside(ValueId value) const {
  const auto found = graph_.producer.find(value);
  return found != graph_.producer.end() &&
         std::find(group_.begin(), group_.end(), found->second) != group_.end();
}

void ChainBuilder::find_inputs() {
  for (const std::size_t member : group_) {
    const Node& node = graph_.nodes[member];
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const Input input{node.inputs[i], node.record->channel_operands && i > 0};
      const std::pair key(input.value, input.is_channel);
      if (is_inside(input.value) || number_.count(key) != 0) continue;
      require_tile_dtype(input.value);
      number_[key] = inputs_.size();
      inputs_.push_back(input);
    }
  }
}

void ChainBuilder::add_operations() {
  for (const std::size_t member : group_) {
    const Node& node = graph_.nodes[member];
    require_tile_dtype(node.outputs[0]);
    if (node.record->tile != nullptr) {
      add_tile_operation(node, member);
    } else {
      add_along_axis(node);
    }
    number_[{node.outputs[0], false}] = inputs_.size() + chain_.operations.size() - 1;
  }
}

std::size_t ChainBuilder::add(FusedOperation operation) {
  chain_.operations.push_back(std::move(operation));
  return inputs_.size() + chain_.operations.size() - 1;
}

void ChainBuilder::add_tile_operation(const Node& node, std::size_t member) {
  const mil::Type& type = graph_.value_of(node.outputs[0]).type;
  FusedOperation operation{
      .node = node.record->tile(graph_.context(member)), .operands = {}, .dtype = type.dtype};
  operation.is_reduced = type.dims != dims_;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const bool is_channel = node.record->channel_operands && i > 0;
    operation.operands.push_back(
        number_.at({node.inputs[i], is_channel && !is_inside(node.inputs[i])}));
  }
  add(std::move(operation));
}

void ChainBuilder::add_along_axis(const Node& node) {
  const std::size_t x = number_.at({node.inputs[0], false});
  const DType dtype = graph_.value_of(node.outputs[0]).type.dtype;
  // What is not the operation's result is not rounded: fp32.
  const auto reduce = [&](std::size_t values, ChainReduction reduction, DType result) {
    return add({.node = {},
                .operands = {values},
                .dtype = result,
                .reduction = reduction,
                .is_reduced = true});
  };
  const auto square = [&] {
    return add({.node = {.op = TileOp::kSquare}, .operands = {x}, .dtype = DType::kFp32});
  };
  switch (node.record->along_axis) {
    case AxisForm::kMean:
      reduce(x, ChainReduction::kMean, dtype);
      return;
    case AxisForm::kMax:
      reduce(x, ChainReduction::kMax, dtype);
      return;
    case AxisForm::kSumSquare:
      reduce(square(), ChainReduction::kSum, dtype);
      return;
    case AxisForm::kL2Norm:
      reduce(square(), ChainReduction::kRootOfSum, dtype);
      return;
    case AxisForm::kSoftmax: {
      const std::size_t largest = reduce(x, ChainReduction::kMax, DType::kFp32);
      const std::size_t powers =
          add({.node = {.op = TileOp::kSubExp}, .operands = {x, largest}, .dtype = DType::kFp32});
      const std::size_t sum = reduce(powers, ChainReduction::kSum, DType::kFp32);
      const std::size_t factor = add({.node = {.op = TileOp::kInverse},
                                      .operands = {sum},
                                      .dtype = DType::kFp32,
                                      .is_reduced = true});
      add({.node = {.op = TileOp::kMul}, .operands = {powers, factor}, .dtype = dtype});
      return;
    }
    default:
      reduce(x, ChainReduction::kSum, dtype);
  }
}

void ChainBuilder::find_outputs() {
  for (const std::size_t member : group_) {
    const ValueId result = graph_.nodes[member].outputs[0];
    if (!graph_.is_output(result) && !graph_.is_read_outside(result, group_)) continue;
    outputs_.push_back(result);
    chain_.outputs.push_back(number_.at({result, false}));
  }
}

void ChainBuilder::add_input(const Input& input, const TensorLayout& layout) {
  const TensorLayout own = input.is_channel ? along_channels(layout, dims_.size()) : layout;
  chain_.inputs.push_back(broadcast_to(own, dims_));
}

void ChainBuilder::add_output(const TensorLayout& layout) {
  chain_.output_layouts.push_back(broadcast_to(layout, dims_));
}

void ChainBuilder::require_tile_dtype(ValueId value) const {
  switch (graph_.value_of(value).type.dtype) {
    case DType::kFp16:
    case DType::kFp32:
    case DType::kBool:
    case DType::kInt8:
    case DType::kUint8:
    case DType::kInt16:
    case DType::kUint16:
    case DType::kInt32:
      return;
    default:
      throw CompileError(std::string(graph_.function.source_name) +
                         ": the emulator does no arithmetic on " + graph_.describe(value));
  }
}

}  // namespace pyane::emulator
