#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>

#include "pyane/emulator/graph.h"
#include "pyane/emulator/planner.h"

namespace pyane::emulator {

/// A value that was worked out when compiling.
struct KnownConstant {
  TensorLayout layout;
  const std::byte* data = nullptr;
  std::shared_ptr<const void> owner;
};
using KnownConstants = std::unordered_map<ValueId, KnownConstant>;

/// Plans a function's body, or a block of a cond or while_loop.
Plan plan_unit(const Unit& unit, const PlanOptions& options, const KnownConstants& known);

/// Times that a while_loop may run its body, those of the loops inside included: a condition that
/// never becomes false must not hang.
inline constexpr std::int64_t kMaxIterations = std::int64_t{1} << 20;

/// The step of a cond or while_loop. Its inputs are the node's (operands, then what the blocks take
/// from outside, states among them), its outputs the node's; all contiguous. Where the predicate of
/// a cond is known only the branch it chooses is planned.
///
/// The loop variables live in the step's scratch memory, twice: read from one, written to the
/// other.
std::unique_ptr<Step> make_control_step(const Graph& graph, std::size_t node,
                                        const PlanOptions& options, const KnownConstants& known);

}  // namespace pyane::emulator
