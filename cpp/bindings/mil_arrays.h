#pragma once

#include <pybind11/numpy.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "pyane/base/dtype.h"
#include "pyane/base/shape.h"

// MIL tensors as NumPy arrays: the array types of MIL's element types.

namespace pyane::bindings {

/// The element type called `name` in MIL text.
/// @throws ShapeError
DType dtype_arg(const std::string& name);

/// NumPy's dtype for tensors of `dtype`. Integers narrower than a byte take a byte each; bf16 and
/// fp8, which NumPy lacks, are their bits in uint16 and uint8.
/// @throws ShapeError  for strings.
pybind11::dtype numpy_dtype(DType dtype);

/// MIL's name for a NumPy dtype.
/// @throws ShapeError  when there is none.
DType mil_dtype(const pybind11::dtype& dtype);

/// `array`, C-contiguous and of numpy_dtype(dtype), its values checked against the range of
/// integers narrower than a byte. Not converted: a wrong dtype is refused.
/// @param where  For messages.
/// @throws ShapeError
pybind11::array checked_array(const char* where, const pybind11::array& array, DType dtype);

Shape shape_of(const pybind11::array& array);
std::vector<std::byte> bytes_of(const pybind11::array& array);

/// A read-only array over `data`, which lives as long as `owner`.
pybind11::array view_of(const std::byte* data, DType dtype, const Shape& shape,
                        const pybind11::handle& owner);

/// Takes the bytes over: a read-only one-dimensional array of uint8.
pybind11::array owning_bytes(std::vector<std::byte> bytes);

/// Whether nobody can change the memory that `exporter`, the object behind a buffer, lends: a bytes
/// object, or any view of either that or what owning_bytes made.
bool is_immutable(pybind11::object exporter);

}  // namespace pyane::bindings
