#pragma once

#include <memory>
#include <string>

#include "pyane/engine/device.h"

namespace pyane::ane {

/// Empty when this process can reach an Apple Neural Engine; otherwise why not (framework missing,
/// classes missing, virtual machine, not macOS) and what to do.
std::string unavailable_reason();

/// @throws AneUnavailableError  with unavailable_reason().
std::shared_ptr<Device> create_device();

}  // namespace pyane::ane
