#pragma once

#include <memory>
#include <span>

#include "pyane/engine/device.h"

namespace pyane {

/// Evaluates requests as if one after the other. Neighbours that are small and touch nothing of
/// each other run at the same time on the thread pool.
///
/// @throws EvaluateError  of the first one that fails. None after it has been evaluated, but for
/// those that ran at the same time, whose results nobody else reads.
void evaluate_in_order(std::span<const std::shared_ptr<Request>> requests);

}  // namespace pyane
