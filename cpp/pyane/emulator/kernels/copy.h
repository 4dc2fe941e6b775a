#pragma once

#include <cstddef>
#include <memory>

#include "pyane/emulator/kernels/registry.h"

namespace pyane::emulator {

/// Copies `n` elements of `element_bytes` (1, 2, 4 or 8); strides in elements.
void copy_strided(const std::byte* source, std::int64_t source_stride, std::byte* target,
                  std::int64_t target_stride, std::size_t n, std::size_t element_bytes);

/// A step that copies input 0 to output 0: equal dimensions and dtypes, any strides, but that the
/// target may not repeat elements.
std::unique_ptr<Step> make_copy(const TensorLayout& source, const TensorLayout& target);

}  // namespace pyane::emulator
