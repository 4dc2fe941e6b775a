#pragma once

#include <cstdint>

namespace pyane {

/// a / b towards infinity, for a >= 0 and b > 0.
inline std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// The next multiple of b.
inline std::int64_t round_up(std::int64_t a, std::int64_t b) { return divide_up(a, b) * b; }

}  // namespace pyane
