#include "mil_arrays.h"

#include <algorithm>
#include <memory>

#include "array_args.h"
#include "pyane/base/error.h"
#include "pyane/mil/number.h"
#include "pyane/mil/sub_byte.h"

namespace py = pybind11;

namespace pyane::bindings {

DType dtype_arg(const std::string& name) {
  if (const auto dtype = dtype_from_name(name)) return *dtype;
  throw ShapeError("dtype must be a MIL element type such as fp16 or int32, got '" + name + "'");
}

py::dtype numpy_dtype(DType dtype) {
  const DTypeInfo& info = dtype_info(dtype);
  if (info.kind == DTypeKind::kString) throw ShapeError("strings have no NumPy array type");
  if (dtype == DType::kBool) return py::dtype("?");
  const bool is_bits = info.kind == DTypeKind::kFloat && dtype != DType::kFp16 &&
                       dtype != DType::kFp32 && dtype != DType::kFp64;
  const char* const kind = info.kind == DTypeKind::kSigned                ? "i"
                           : info.kind == DTypeKind::kUnsigned || is_bits ? "u"
                                                                          : "f";
  return py::dtype(kind + std::to_string(dtype_size(dtype)));
}

DType mil_dtype(const py::dtype& dtype) {
  for (const DType candidate : {DType::kFp16, DType::kFp32, DType::kFp64, DType::kBool,
                                DType::kInt8, DType::kInt16, DType::kInt32, DType::kInt64,
                                DType::kUint8, DType::kUint16, DType::kUint32, DType::kUint64}) {
    if (dtype.equal(numpy_dtype(candidate))) return candidate;
  }
  throw ShapeError("array must have a dtype that MIL has too, got " +
                   py::str(py::object(dtype)).cast<std::string>());
}

py::array checked_array(const char* where, const py::array& array, DType dtype) {
  const py::dtype expected = numpy_dtype(dtype);
  if (!array.dtype().equal(expected)) {
    throw ShapeError(std::string(where) + ": array for " + std::string(dtype_name(dtype)) +
                     " must be " + py::str(py::object(expected)).cast<std::string>() + ", got " +
                     describe(array));
  }
  const auto contiguous =
      py::array::ensure(array, py::array::c_style);  // A copy only if it has to be.
  if (!mil::is_sub_byte(dtype)) return contiguous;
  const mil::IntegerRange range = mil::integer_range(dtype);
  const auto check = [&](auto* data) {
    for (py::ssize_t i = 0; i < contiguous.size(); ++i) {
      if (data[i] < range.low ||
          (data[i] > 0 && static_cast<std::uint64_t>(data[i]) > range.high)) {
        throw ShapeError(
            std::string(where) + ": " + std::string(dtype_name(dtype)) + " must be in [" +
            std::to_string(range.low) + ", " + std::to_string(range.high) + "], got " +
            std::to_string(static_cast<int>(data[i])) + " at element " + std::to_string(i));
      }
    }
  };
  if (dtype == DType::kInt4) {
    check(static_cast<const std::int8_t*>(contiguous.data()));
  } else {
    check(static_cast<const std::uint8_t*>(contiguous.data()));
  }
  return contiguous;
}

Shape shape_of(const py::array& array) { return {array.shape(), array.shape() + array.ndim()}; }

std::vector<std::byte> bytes_of(const py::array& array) {
  const auto* const data = static_cast<const std::byte*>(array.data());
  return {data, data + array.nbytes()};
}

py::array view_of(const std::byte* data, DType dtype, const Shape& shape, const py::handle& owner) {
  const std::vector<py::ssize_t> dims(shape.begin(), shape.end());
  py::array array(numpy_dtype(dtype), dims, data, owner);
  array.attr("flags").attr("writeable") = false;
  return array;
}

/// Marks memory that no array can be made writeable on: NumPy refuses as a capsule lends none.
static constexpr const char* kOwnedBytes = "pyane.owned_bytes";

py::array owning_bytes(std::vector<std::byte> bytes) {
  auto owner = std::make_unique<std::vector<std::byte>>(std::move(bytes));
  const std::vector<std::byte>& data = *owner;
  const py::capsule capsule(owner.get(), kOwnedBytes,
                            [](void* p) { delete static_cast<std::vector<std::byte>*>(p); });
  static_cast<void>(owner.release());
  return view_of(data.data(), DType::kUint8, {static_cast<std::int64_t>(data.size())}, capsule);
}

bool is_immutable(py::object exporter) {
  for (;;) {
    if (PyMemoryView_Check(exporter.ptr())) {
      exporter = exporter.attr("obj");
    } else if (py::isinstance<py::array>(exporter)) {
      exporter = exporter.attr("base");
    } else {
      return PyBytes_Check(exporter.ptr()) != 0 ||
             PyCapsule_IsValid(exporter.ptr(), kOwnedBytes) != 0;
    }
  }
}

}  // namespace pyane::bindings
