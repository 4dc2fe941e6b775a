#pragma once

#include <memory>
#include <vector>

#include "pyane/mil/verifier.h"

namespace pyane::emulator {

/// Evaluates one operation of constants with the emulator's own kernels: mil::EvaluateConstant.
std::vector<std::shared_ptr<const mil::Constant>> evaluate_constant(
    const mil::VerifiedFunction& so_far, const mil::VerifiedOperation& operation,
    const std::vector<mil::Type>& results);

}  // namespace pyane::emulator
