#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bindings.h"
#include "pyane/base/bulk_half.h"
#include "pyane/base/error.h"
#include "pyane/surface/surface.h"

namespace py = pybind11;

namespace {

std::string text_of(const py::handle& object) { return py::str(object).cast<std::string>(); }

/// Numbers, and bool; also those that NumPy lacks (ml_dtypes' bfloat16), but no text, times,
/// records.
bool is_of_numbers(const py::dtype& dtype) {
  constexpr std::string_view kNumbers = "biufc";
  if (dtype.kind() != 'V') return kNumbers.find(dtype.kind()) != std::string_view::npos;
  return !dtype.attr("type").is(py::module_::import("numpy").attr("void"));
}

/// A view of the surface's memory that keeps the surface alive.
py::array surface_array(const std::shared_ptr<pyane::Surface>& surface,
                        const std::vector<py::ssize_t>& shape, const py::dtype& dtype,
                        py::ssize_t offset) {
  const auto capacity = static_cast<py::ssize_t>(surface->n_bytes());
  const py::ssize_t item = dtype.itemsize();
  py::ssize_t room =
      item > 0 && offset >= 0 && offset <= capacity ? (capacity - offset) / item : -1;
  if (!is_of_numbers(dtype)) {
    throw pyane::ShapeError("Surface.array: dtype must be one of numbers, got " + text_of(dtype));
  }
  if (offset < 0 || offset % item != 0) {
    throw pyane::ShapeError("Surface.array: offset must be a multiple of " + std::to_string(item) +
                            " from 0 on, got " + std::to_string(offset));
  }
  bool fits = room > 0;  // Also for a scalar, which has no dimension to check.
  for (const py::ssize_t dim : shape) {
    if (dim < 0) {
      throw pyane::ShapeError("Surface.array: shape must not be negative, got " +
                              text_of(py::cast(shape)));
    }
    room = dim == 0 ? room : room / dim;
    fits = fits && room > 0;
  }
  if (!fits) {
    throw pyane::ShapeError("Surface.array: " + text_of(dtype) + " of shape " +
                            text_of(py::tuple(py::cast(shape))) + " at offset " +
                            std::to_string(offset) + " does not fit into the surface's " +
                            std::to_string(capacity) + " bytes");
  }
  return py::array(dtype, shape, surface->data() + offset, py::cast(surface));
}

/// Where a dense float32 array has its fp16 counterpart on a surface, and whether it may be
/// converted as it is; nullptr: it may not.
pyane::half_bits* counterpart(const pyane::Surface& surface, const py::array& floats,
                              py::ssize_t offset) {
  const auto capacity = static_cast<py::ssize_t>(surface.n_bytes());
  const bool is_dense = py::isinstance<py::array_t<float>>(floats) &&
                        (floats.flags() & py::array::c_style) != 0 &&
                        reinterpret_cast<std::uintptr_t>(floats.data()) % alignof(float) == 0;
  if (!is_dense || offset < 0 || offset > capacity || offset % 2 != 0 || floats.size() == 0 ||
      floats.size() > (capacity - offset) / 2) {
    return nullptr;
  }
  const auto* begin = static_cast<const std::byte*>(floats.data());
  const bool is_apart =
      begin + floats.nbytes() <= surface.data() || surface.data() + surface.n_bytes() <= begin;
  return is_apart ? reinterpret_cast<pyane::half_bits*>(surface.data() + offset) : nullptr;
}

bool write_floats(const pyane::Surface& surface, const py::array& values, py::ssize_t offset) {
  pyane::half_bits* const target = counterpart(surface, values, offset);
  if (target == nullptr) return false;
  const auto* source = static_cast<const float*>(values.data());
  const auto n = static_cast<std::size_t>(values.size());
  const py::gil_scoped_release release;
  pyane::bulk_float_to_half(source, target, n);
  return true;
}

bool read_floats(const pyane::Surface& surface, py::array& out, py::ssize_t offset) {
  const pyane::half_bits* const source = counterpart(surface, out, offset);
  if (source == nullptr || !out.writeable()) return false;
  auto* target = static_cast<float*>(out.mutable_data());
  const auto n = static_cast<std::size_t>(out.size());
  const py::gil_scoped_release release;
  pyane::bulk_half_to_float(source, target, n);
  return true;
}

}  // namespace

void bind_surface(py::module_& engine) {
  py::class_<pyane::Surface, std::shared_ptr<pyane::Surface>>(
      engine, "Surface", "Memory shared with a device. Use pyane.Surface.")
      .def_property_readonly("n_bytes", &pyane::Surface::n_bytes, "Allocated bytes.")
      .def_property_readonly(
          "native_id", &pyane::Surface::native_id,
          "Linux: the file descriptor, owned by the surface. macOS: the IOSurface "
          "id.")
      .def_property_readonly("lock_count", &pyane::Surface::lock_count, "Locks held now.")
      .def(
          "lock",
          [](pyane::Surface& surface, bool read_only) {
            surface.lock(read_only ? pyane::LockMode::kReadOnly : pyane::LockMode::kReadWrite);
          },
          py::arg("read_only"), py::call_guard<py::gil_scoped_release>(), "Locks count.")
      .def(
          "unlock",
          [](pyane::Surface& surface, bool read_only) {
            surface.unlock(read_only ? pyane::LockMode::kReadOnly : pyane::LockMode::kReadWrite);
          },
          py::arg("read_only"), "Undoes one lock of the same mode.")
      .def("unshare", &pyane::Surface::unshare,
           "In a forked child: memory of its own at the same address. Linux only.")
      .def("array", &surface_array, py::arg("shape"), py::arg("dtype"), py::arg("offset"),
           "A zero-copy view. Raises ShapeError when it does not fit.")
      .def("write_floats", &write_floats, py::arg("values"), py::arg("offset"),
           "Stores a dense float32 array as float16. False, and nothing done, when it is anything "
           "else, does not fit, or lies in the surface itself.")
      .def("read_floats", &read_floats, py::arg("out"), py::arg("offset"),
           "The reverse, into a dense, writeable float32 array.");
  engine.def("create_surface", &pyane::create_surface, py::arg("n_bytes"),
             "A new surface of at least n_bytes, zero-filled.");
  engine.def("open_surface", &pyane::open_surface, py::arg("native_id"),
             "The surface behind a file descriptor (Linux; duplicated) or an IOSurface id.");
  engine.def(
      "wrap_surface",
      [](std::uintptr_t handle) {
        return pyane::wrap_surface(reinterpret_cast<void*>(handle));  // NOLINT: an address it is
      },
      py::arg("handle"), "The surface behind an IOSurfaceRef, given as a number; retained.");
  engine.def("surface_kind", &pyane::surface_kind, "What surfaces are here: iosurface or memfd.");
}
