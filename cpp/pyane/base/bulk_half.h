#pragma once

#include <cstddef>

#include "pyane/base/half.h"

namespace pyane {

// As half_to_float and float_to_half of half.h, on the thread pool where that pays, and past the
// caches what is larger than they are. Source and target do not overlap.

void bulk_half_to_float(const half_bits* source, float* target, std::size_t n);
void bulk_float_to_half(const float* source, half_bits* target, std::size_t n);

}  // namespace pyane
