#pragma once

#include <string>
#include <string_view>

#include "pyane/mil/weights.h"

namespace pyane::ane {

/// What the linter knows a chip to refuse in a model, for the message of a failed compile: one
/// sentence for each of the first findings, or "" when there are none.
///
/// @param architecture  As the framework tells it, e.g. "h13g". None of the known chips': "".
/// @param function  Empty: all functions.
std::string explain_refusal(const mil::Model& model, std::string_view architecture,
                            const std::string& function);

}  // namespace pyane::ane
