#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pyane {

/// Dimensions, outermost first. In types, -1 stands for MIL's `?`.
using Shape = std::vector<std::int64_t>;

inline constexpr std::int64_t kUnknownDim = -1;

/// "[1, 64, 1, 256]"; an unknown dimension prints as "?".
std::string to_string(const Shape& shape);

/// Number of elements; 1 for a scalar. nullopt when a dimension is unknown, negative, or the
/// product does not fit in 62 bits (a hostile shape must not wrap around).
std::optional<std::int64_t> element_count(const Shape& shape);

/// Row-major strides in elements. Needs known dimensions.
Shape contiguous_strides(const Shape& shape);

/// NumPy broadcasting of two shapes; nullopt when they disagree. Unknown dimensions broadcast to
/// the other side's dimension when that is > 1, else stay unknown.
std::optional<Shape> broadcast(const Shape& a, const Shape& b);

}  // namespace pyane
