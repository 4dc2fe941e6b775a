#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "pyane/emulator/kernels/registry.h"

namespace pyane::emulator {

/// What becomes of the values along a chain's axis.
enum class ChainReduction : std::uint8_t {
  kNone,
  kSum,
  kMean,
  kMax,
  kRootOfSum,
};

/// One operation of a fused chain. Values are numbered: the chain's inputs first, then one value
/// per operation, in order.
struct FusedOperation {
  TileNode node;                      ///< Without a meaning for reductions.
  std::vector<std::size_t> operands;  ///< Values.
  DType dtype;                        ///< Of the result, to which it is rounded.
  /// The only operand is reduced along the chain's axis, as kernels/reduction.cpp does.
  ChainReduction reduction = ChainReduction::kNone;
  /// The result has one element where the axis was. So have all operands, but for a reduction.
  bool is_reduced = false;
};

/// Elementwise operations of one shape, or of two shapes that differ in one axis, the smaller one
/// with a single element there, and the reductions that lead from one to the other.
struct FusedChain {
  std::vector<TensorLayout> inputs;  ///< Broadcast to the larger shape.
  std::vector<FusedOperation> operations;
  std::vector<std::size_t> outputs;  ///< Values that are stored, in the order of `output_layouts`.
  std::vector<TensorLayout> output_layouts;  ///< Reduced ones broadcast to the larger shape, too.
  int axis = -1;                             ///< Negative: no reductions.
  bool may_tabulate = false;                 ///< Long functions (half_table.h).

  /// Whether an operation's results are looked up.
  bool looks_up(const FusedOperation& operation) const;
};

/// A step that evaluates the chain tile by tile (tiling.h): every input is read once for each time
/// that the chain has to go along the axis, and from the caches from the second time on; every
/// result is rounded as if it had been stored; only `outputs` reach memory.
std::unique_ptr<Step> make_fused(FusedChain chain);

}  // namespace pyane::emulator
