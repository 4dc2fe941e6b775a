#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>

#include "bindings.h"
#include "mil_arrays.h"
#include "pyane/base/error.h"
#include "pyane/mil/blob_file.h"
#include "pyane/mil/sub_byte.h"

// Weight files.

namespace py = pybind11;
using namespace pyane;
using namespace pyane::bindings;

namespace {

std::span<const std::byte> bytes_of_buffer(const py::buffer_info& buffer) {
  return {static_cast<const std::byte*>(buffer.ptr),
          static_cast<std::size_t>(buffer.size * buffer.itemsize)};
}

// One-dimensional uint8 over any contiguous buffer: what the views below keep alive.
py::array as_bytes(const py::buffer& file) {
  const py::object array = py::module_::import("numpy").attr("frombuffer")(file, py::dtype("u1"));
  return array;
}

std::uint64_t add_tensor(mil::BlobWriter& writer, const py::array& array,
                         const std::optional<std::string>& dtype_name) {
  const DType dtype = dtype_name ? dtype_arg(*dtype_name) : mil_dtype(array.dtype());
  const py::array checked = checked_array("BlobWriter.add", array, dtype);
  const std::span<const std::byte> data{static_cast<const std::byte*>(checked.data()),
                                        static_cast<std::size_t>(checked.nbytes())};
  if (!mil::is_sub_byte(dtype)) return writer.add(dtype, shape_of(checked), data);
  std::vector<std::byte> packed(mil::packed_bytes(dtype, data.size()));
  mil::pack(data, dtype, packed);
  return writer.add(dtype, shape_of(checked), packed);
}

py::array read_tensor(const py::buffer& file, std::uint64_t offset, const std::string& dtype_name,
                      const Shape& shape, bool strict, const std::string& path) {
  const DType dtype = dtype_arg(dtype_name);
  const py::array bytes = as_bytes(file);
  std::vector<std::string> warnings;
  const std::span<const std::byte> data = mil::read_blob(
      {static_cast<const std::byte*>(bytes.data()), static_cast<std::size_t>(bytes.size())}, path,
      offset, dtype, shape, strict ? mil::BlobStrictness::kStrict : mil::BlobStrictness::kLenient,
      [&](const std::string& message) { warnings.push_back(message); });
  for (const std::string& warning : warnings) {
    const py::object category = py::module_::import("pyane.errors").attr("BlobWarning");
    if (PyErr_WarnEx(category.ptr(), warning.c_str(), 2) != 0) throw py::error_already_set();
  }
  if (!mil::is_sub_byte(dtype)) return view_of(data.data(), dtype, shape, bytes);
  const std::vector<py::ssize_t> dims(shape.begin(), shape.end());
  py::array unpacked(numpy_dtype(dtype), dims);
  mil::unpack(data, dtype,
              {static_cast<std::byte*>(unpacked.mutable_data()),
               static_cast<std::size_t>(unpacked.nbytes())});
  unpacked.attr("flags").attr("writeable") = false;
  return unpacked;
}

}  // namespace

void bind_blob(py::module_& m) {
  py::class_<mil::BlobRecord>(m, "BlobRecord", "What a weight file says about one tensor.")
      .def_readonly("offset", &mil::BlobRecord::offset, "As in BLOBFILE(offset = ...).")
      .def_property_readonly("dtype",
                             [](const mil::BlobRecord& record) { return dtype_name(record.dtype); })
      .def_readonly("n_bytes", &mil::BlobRecord::n_bytes)
      .def_readonly("data_offset", &mil::BlobRecord::data_offset)
      .def_readonly("padding_bits", &mil::BlobRecord::padding_bits);

  py::class_<mil::BlobWriter>(m, "BlobWriter",
                              "Builds a weight file in memory, byte for byte as Apple's writer.")
      .def(py::init<>())
      .def("add", &add_tensor, py::arg("array"), py::arg("dtype") = py::none(),
           "Appends a tensor and returns the offset to write in the text.")
      .def_property_readonly("n_bytes",
                             [](const mil::BlobWriter& writer) { return writer.bytes().size(); })
      .def(
          "finish", [](mil::BlobWriter& writer) { return owning_bytes(writer.take()); },
          "The file as a read-only array of uint8, not copied; the writer starts a new one.");

  m.def("read_blob", &read_tensor, py::arg("file"), py::arg("offset"), py::arg("dtype"),
        py::arg("shape"), py::arg("strict") = false, py::arg("path") = "<blob>");
  m.def(
      "list_blobs",
      [](const py::buffer& file, const std::string& path) {
        const py::buffer_info buffer = file.request();
        return mil::list_blobs(bytes_of_buffer(buffer), path);
      },
      py::arg("file"), py::arg("path") = "<blob>");
}
