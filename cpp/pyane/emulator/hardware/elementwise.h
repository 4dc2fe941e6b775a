#pragma once

#include <memory>

#include "pyane/emulator/kernels/registry.h"

namespace pyane::emulator::hardware {

/// A step of one elementwise operation, whose IEEE record has a tile. Contiguous tensors.
std::unique_ptr<Step> prepare_elementwise(const PrepareContext& context);

}  // namespace pyane::emulator::hardware
