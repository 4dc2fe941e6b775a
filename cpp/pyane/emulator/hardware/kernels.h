#pragma once

#include <string_view>

#include "pyane/emulator/hardware/numerics.h"
#include "pyane/emulator/kernels/registry.h"

// The kernels of numerics="hardware": the IEEE ones where moving data is all they do, and others in
// their place. They are slow: tests and studies want bits, not speed.

namespace pyane::emulator::hardware {

/// Where to look kernels up: emulator::find_kernel for nullptr. The planner hands `numerics` to
/// their records as PrepareContext::hardware.
FindKernel kernels_for(const Numerics* numerics);

}  // namespace pyane::emulator::hardware
