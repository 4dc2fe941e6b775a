#pragma once

#include <memory>

#include "pyane/engine/device.h"

namespace pyane::emulator {

/// The CPU device: fp16 storage, fp32 accumulation, one rounding per operation; results do not
/// depend on the number of threads.
std::shared_ptr<Device> create_device();

}  // namespace pyane::emulator
