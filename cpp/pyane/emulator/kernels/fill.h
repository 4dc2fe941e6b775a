#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "pyane/emulator/kernels/registry.h"

namespace pyane::emulator {

/// One element of any type, in its first bytes.
using ElementBits = std::array<std::byte, 8>;

/// A number as an element of `dtype`, rounded half to even (fp16) or cut to its width (integers).
ElementBits number_bits(double value, DType dtype);

/// Attribute `input` of an operation as an element of `dtype`.
ElementBits value_bits(const mil::OpContext& op, const char* input, DType dtype);

/// A step without inputs that fills output 0, of any strides, with one value.
std::unique_ptr<Step> make_fill(const TensorLayout& target, ElementBits value);

}  // namespace pyane::emulator
