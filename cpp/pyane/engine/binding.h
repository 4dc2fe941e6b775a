#pragma once

#include <string>
#include <vector>

#include "pyane/engine/device.h"
#include "pyane/mil/program.h"

// What every device does the same way, with the same words.

namespace pyane {

/// The function that CompileOptions::function means.
/// @throws CompileError  there is none of that name, or several and none is "main"; lists them.
const mil::Function& choose_function(const mil::Program& program, const std::string& name);

/// Checks surfaces against the tensors they are bound to, one per tensor and in their order.
/// @throws ShapeError  wrong number, one too small, or two outputs in one surface.
void check_binding(const std::vector<TensorSpec>& input_specs,
                   const std::vector<TensorSpec>& output_specs,
                   const std::vector<std::shared_ptr<Surface>>& inputs,
                   const std::vector<std::shared_ptr<Surface>>& outputs);

}  // namespace pyane
