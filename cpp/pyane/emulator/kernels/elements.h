#pragma once

#include <cstddef>
#include <vector>

#include "pyane/emulator/tensor_view.h"

namespace pyane::emulator {

/// `n` dense elements of any numeric type as fp32: exact, but for int32 and uint32 beyond 2^24.
/// Sub-byte integers take a byte each.
void load_floats(DType dtype, const std::byte* source, float* values, std::size_t n);

/// The reverse, for fp16 (half to even) and fp32.
void store_floats(DType dtype, const float* values, std::byte* target, std::size_t n);

/// All elements of a contiguous constant as fp32; empty when it is absent.
std::vector<float> constant_floats(const TensorView& constant);

}  // namespace pyane::emulator
