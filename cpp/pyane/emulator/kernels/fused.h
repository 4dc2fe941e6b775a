#pragma once

#include <memory>
#include <vector>

#include "pyane/emulator/kernels/registry.h"

namespace pyane::emulator {

/// One operation of a fused chain. Values are numbered: the chain's inputs first, then one value
/// per operation, in order.
struct FusedOperation {
  TileNode node;
  std::vector<std::size_t> operands;  ///< Values.
  DType dtype;                        ///< Of the result, to which it is rounded.
};

/// Elementwise operations of one result shape.
struct FusedChain {
  std::vector<TensorLayout> inputs;  ///< Broadcast to the result shape.
  std::vector<FusedOperation> operations;
  std::vector<std::size_t> outputs;  ///< Values that are stored, in the order of `output_layouts`.
  std::vector<TensorLayout> output_layouts;
};

/// A step that evaluates the chain tile by tile: every input is converted once per tile, every
/// result is rounded as if it had been stored, only `outputs` reach memory.
std::unique_ptr<Step> make_fused(FusedChain chain);

}  // namespace pyane::emulator
