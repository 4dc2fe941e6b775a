#pragma once

#include "pyane/emulator/hardware/numerics.h"
#include "pyane/emulator/plan.h"
#include "pyane/mil/verifier.h"

namespace pyane::emulator {

struct PlanOptions {
  /// false: every operation is a step of its own that reads and writes contiguous tensors. Same
  /// bits, slower; for tests, and to find out where a fault is (PYANE_EMULATOR_PLAIN=1).
  bool optimizes = true;
  /// Compute as an engine does (hardware/numerics.h), slowly; nullptr: IEEE arithmetic.
  const hardware::Numerics* hardware = nullptr;
};

/// Compiles a verified function.
///
/// Operations that only rename elements (reshape, transpose, slices, split, ...) become views of
/// their operand's memory where strides can express it, and copies otherwise. The operands of
/// concat and stack are written into place by their producers where those can. Elementwise
/// operations of one shape that feed each other are fused. What remains gets memory from one arena,
/// where tensors that are never needed at the same time share it.
///
/// Constants are not copied; their owners stay alive with the plan, except for those that a kernel
/// has packed.
///
/// @throws UnsupportedOpError  an operation without a kernel, by name and place.
/// @throws CompileError  dimensions unknown before evaluation, too many dimensions, element types
/// that the emulator does not store.
Plan plan(const mil::VerifiedFunction& function, const PlanOptions& options);

}  // namespace pyane::emulator
