#pragma once

#include <memory>
#include <span>

#include "pyane/engine/device.h"

namespace pyane {

/// Evaluates requests as if one after the other. Small ones that stand next to each other run on
/// the thread pool, each as soon as those before it are done that write what it reads or writes, or
/// read what it writes.
///
/// @throws  what the first one in the list that fails throws. All before it have been evaluated
/// then; of those after it none that needs to wait for it, and of the others some.
void evaluate_in_order(std::span<const std::shared_ptr<Request>> requests);

}  // namespace pyane
