#pragma once

#include <cstdint>
#include <optional>

namespace pyane {

/// The positive number in an environment variable; nullopt when it is not set.
/// @throws Error  when it is no positive number; names variable and text.
std::optional<std::int64_t> positive_from_environment(const char* variable);

}  // namespace pyane
