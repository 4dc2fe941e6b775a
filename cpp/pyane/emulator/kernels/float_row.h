#pragma once

#include <cstddef>
#include <cstdint>

#include "pyane/base/dtype.h"

namespace pyane::emulator {

/// `n` elements of an fp16 or fp32 tensor, `stride` apart, as fp32. `offset` in elements.
void load_floats(DType dtype, const std::byte* data, std::int64_t offset, std::int64_t stride,
                 std::int64_t n, float* values);

/// The reverse; fp16 rounds half to even.
void store_floats(const float* values, DType dtype, std::byte* data, std::int64_t offset,
                  std::int64_t stride, std::int64_t n);

/// One element of an integer or bool tensor.
std::int64_t load_integer(DType dtype, const std::byte* data, std::int64_t offset);

/// One element of a tensor of any numbers; exact for all of them but uint64 and int64.
double load_number(DType dtype, const std::byte* data, std::int64_t offset);

}  // namespace pyane::emulator
