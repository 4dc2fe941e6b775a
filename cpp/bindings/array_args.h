#pragma once

#include <pybind11/numpy.h>

#include <span>
#include <string>

#include "pyane/base/half.h"
#include "pyane/train/activations.h"

// NumPy arguments taken as they lie in memory: dtype, contiguity and writability are checked, never
// converted, so that no copy hides in a call and an output is what the caller passed.

namespace pyane::bindings {

/// "float32 [2, 3]"
std::string describe(const pybind11::array& array);

/// @throws ShapeError  "<where>: <name> must be <rule>, got <describe(array)>"
[[noreturn]] void reject(const char* where, const char* name, const std::string& rule,
                         const pybind11::array& array);

bool is_float32(const pybind11::array& array);
bool is_float16(const pybind11::array& array);
bool is_int32(const pybind11::array& array);

/// C-contiguous arrays of any shape. The spans borrow from the array.
/// @throws ShapeError
std::span<const float> float32_arg(const char* where, const char* name,
                                   const pybind11::array& array);
std::span<float> float32_out(const char* where, const char* name, pybind11::array& array);
std::span<half_bits> float16_out(const char* where, const char* name, pybind11::array& array);
std::span<const std::int32_t> int32_arg(const char* where, const char* name,
                                        const pybind11::array& array);
ConstFloats floats_arg(const char* where, const char* name, const pybind11::array& array);
Floats floats_out(const char* where, const char* name, pybind11::array& array);

/// Shape of an activation array: [C, S], [B, C, S], or [B, C, 1, S] as surfaces have it.
/// @throws ShapeError
ActivationShape activation_shape(const char* where, const char* name, const pybind11::array& array);

/// @throws ShapeError  unless `array` has `shape` too, with or without the unit axis.
void check_activation_shape(const char* where, const char* name, const pybind11::array& array,
                            const ActivationShape& shape);

/// @throws ShapeError  unless `array`, one number per position, is [B, S], or flat [B * S].
void check_positions(const char* where, const char* name, const pybind11::array& array,
                     const ActivationShape& shape);

/// @throws ShapeError  when `out` and `other` share memory.
void check_disjoint(const char* where, const char* out_name, const pybind11::array& out,
                    const char* other_name, const pybind11::array& other);

}  // namespace pyane::bindings
