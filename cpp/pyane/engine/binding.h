#pragma once

#include <string>
#include <vector>

#include "pyane/engine/device.h"
#include "pyane/mil/program.h"

// What every device does the same way, with the same words.

namespace pyane {

using mil::choose_function;

/// Checks surfaces against the tensors they are bound to, one per tensor and in their order.
/// @throws ShapeError  wrong number, one too small, or two outputs in one surface.
void check_binding(const std::vector<TensorSpec>& input_specs,
                   const std::vector<TensorSpec>& output_specs,
                   const std::vector<std::shared_ptr<Surface>>& inputs,
                   const std::vector<std::shared_ptr<Surface>>& outputs);

/// Checks the surfaces of states; none is fine.
/// @throws ShapeError  wrong number, one too small, or one that is also an input's, an output's or
/// another state's.
void check_states(const std::vector<TensorSpec>& specs,
                  const std::vector<std::shared_ptr<Surface>>& states,
                  const std::vector<std::shared_ptr<Surface>>& inputs,
                  const std::vector<std::shared_ptr<Surface>>& outputs);

}  // namespace pyane
