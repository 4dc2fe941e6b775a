#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pyane::mil {

/// "; did you mean 'transpose_x'?" for the candidate closest to a mistyped name, "" when none is
/// close.
std::string suggestion(std::string_view name, const std::vector<std::string_view>& candidates);

}  // namespace pyane::mil
