#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "pyane/base/dtype.h"
#include "pyane/base/half.h"

// Numbers as the engine sees them: fp16, without NaN and without a negative zero.

namespace pyane::emulator::hardware {

/// NaN becomes +infinity, -0 becomes +0.
inline float admit(float value) {
  return std::isnan(value) ? std::numeric_limits<float>::infinity() : value + 0.0F;
}

/// What an operation gives in place of an indeterminate form (NaN) and of -0: +0.
inline float emit(float value) { return std::isnan(value) ? 0.0F : value + 0.0F; }

/// Element `i` of an fp16 or fp32 tensor, rounded to fp16, as it enters an operation.
inline float load_half(DType dtype, const void* data, std::int64_t i) {
  if (dtype == DType::kFp16) return admit(half_to_float(static_cast<const half_bits*>(data)[i]));
  return admit(half_to_float(float_to_half(static_cast<const float*>(data)[i])));
}

/// Stores an fp16 number in an fp16 or fp32 tensor.
inline void store_value(DType dtype, void* data, std::int64_t i, float value) {
  if (dtype == DType::kFp16) {
    static_cast<half_bits*>(data)[i] = float_to_half(value);
  } else {
    static_cast<float*>(data)[i] = half_to_float(float_to_half(value));
  }
}

/// NaN becomes +infinity in an fp16 or fp32 tensor of `n_bytes`; others stay.
void replace_nans(DType dtype, std::byte* data, std::size_t n_bytes);

}  // namespace pyane::emulator::hardware
