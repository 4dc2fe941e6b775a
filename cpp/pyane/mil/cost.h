#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pyane/mil/verifier.h"

// What a program costs to evaluate, read off its types: arithmetic, memory, weights. The only place
// with formulas per operation; `pyane show` and performance models read it.
//
// Arithmetic counts a multiply-add as 2 and every other step on an element as 1, whatever function
// it is (an exponential counts as much as a maximum). Moving, converting and comparing positions of
// elements counts 0, and so do the constexpr operations, which run at compile time.

namespace pyane::mil {

/// Floating-point operations of one evaluation of `operation`; nullopt when dimensions that it
/// depends on are unknown. For cond, of its more costly block; for while_loop, of one turn.
std::optional<double> flops(const VerifiedFunction& function, const VerifiedOperation& operation);

struct OperationCost {
  const VerifiedOperation* operation = nullptr;
  std::optional<double> flops;
};

/// Tensors of one element type in weight files; one that is referred to twice counts once.
struct WeightGroup {
  DType dtype = DType::kFp16;
  std::int64_t n_tensors = 0;
  std::uint64_t n_bytes = 0;  ///< As stored: packed for integers narrower than a byte.
};

struct Cost {
  std::vector<OperationCost> operations;  ///< In order; operations in blocks are part of theirs.
  /// All inputs, outputs, states together, packed. nullopt: unknown dimensions.
  std::optional<std::uint64_t> input_bytes;
  std::optional<std::uint64_t> output_bytes;
  std::optional<std::uint64_t> state_bytes;
  /// Most that intermediate results take at once when each lives from its operation to its last
  /// use and nothing is fused or aliased: an upper bound for whoever does better.
  std::optional<std::uint64_t> peak_activation_bytes;
};

Cost cost(const VerifiedFunction& function);

/// Tensors that a function keeps in weight files, by element type in the order of DType.
std::vector<WeightGroup> weights(const Function& function);

}  // namespace pyane::mil
