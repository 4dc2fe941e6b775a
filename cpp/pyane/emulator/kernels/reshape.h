#pragma once

#include <optional>

#include "pyane/emulator/tensor_view.h"

namespace pyane::emulator {

/// `layout` with other dimensions of the same element count, in the same row-major order and the
/// same memory; nullopt when no strides do that. Always possible for a contiguous layout.
std::optional<TensorLayout> reshaped(const TensorLayout& layout, const Shape& dims);

}  // namespace pyane::emulator
