#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "bindings.h"
#include "pyane/base/bulk_half.h"
#include "pyane/base/cpu.h"
#include "pyane/base/error.h"
#include "pyane/base/half.h"
#include "pyane/base/thread_pool.h"

namespace py = pybind11;

namespace {

using FloatArray = py::array_t<float, py::array::c_style>;

// float16 has no C++ type that pybind11 knows, so it is checked by its dtype.
void check_half(const py::array& array, const char* where, const char* name) {
  const bool is_half = (array.dtype().kind() == 'f' || array.dtype().kind() == 'u') &&
                       array.itemsize() == 2 && array.dtype().byteorder() != '>';
  if (!is_half) {
    throw pyane::ShapeError(std::string(where) + ": " + name + " must be float16 or uint16, got " +
                            py::str(py::object(array.dtype())).cast<std::string>());
  }
  if ((array.flags() & py::array::c_style) == 0) {
    throw pyane::ShapeError(std::string(where) + ": " + name + " must be C-contiguous");
  }
}

void check_sizes(const py::array& source, const py::array& target, const char* where) {
  if (source.size() != target.size()) {
    throw pyane::ShapeError(std::string(where) + ": target must have as many elements as source, " +
                            std::to_string(source.size()) + ", got " +
                            std::to_string(target.size()));
  }
}

void half_to_float(const py::array& source, FloatArray& target) {
  check_half(source, "half_to_float", "source");
  check_sizes(source, target, "half_to_float");
  const auto* from = static_cast<const pyane::half_bits*>(source.data());
  float* to = target.mutable_data();
  const auto n = static_cast<std::size_t>(target.size());
  const py::gil_scoped_release release;
  pyane::bulk_half_to_float(from, to, n);
}

void float_to_half(const FloatArray& source, py::array& target) {
  check_half(target, "float_to_half", "target");
  check_sizes(source, target, "float_to_half");
  auto* to = static_cast<pyane::half_bits*>(target.mutable_data());
  const float* from = source.data();
  const auto n = static_cast<std::size_t>(source.size());
  const py::gil_scoped_release release;
  pyane::bulk_float_to_half(from, to, n);
}

void float_to_half_transposed(const FloatArray& source, py::array& target) {
  constexpr const char* kWhere = "float_to_half_transposed";
  check_half(target, kWhere, "target");
  const auto describe = [](const py::array& array) {
    return py::str(array.attr("shape")).cast<std::string>();
  };
  if (source.ndim() != 2 || target.ndim() != 2 || source.shape(0) != target.shape(1) ||
      source.shape(1) != target.shape(0)) {
    throw pyane::ShapeError(std::string(kWhere) +
                            ": target must be [C, R] for a source [R, C], got " + describe(target) +
                            " for " + describe(source));
  }
  auto* to = static_cast<pyane::half_bits*>(target.mutable_data());
  const float* from = source.data();
  const auto rows = static_cast<std::size_t>(source.shape(0));
  const auto cols = static_cast<std::size_t>(source.shape(1));
  const py::gil_scoped_release release;
  pyane::float_to_half_transposed(from, to, rows, cols);
}

}  // namespace

void bind_base(py::module_& m) {
  auto base = m.def_submodule("base", "Threads and fp16 conversion.");

  base.def("half_to_float", &half_to_float, py::arg("source").noconvert(),
           py::arg("target").noconvert(),
           "Converts float16 (or its bits as uint16) to float32, exactly. C-contiguous arrays of "
           "equal size that do not overlap.\n\nRaises ShapeError for other sizes or dtypes.");
  base.def("float_to_half", &float_to_half, py::arg("source").noconvert(),
           py::arg("target").noconvert(),
           "Converts float32 to float16 (or its bits as uint16), rounding half to even; too large "
           "becomes infinity. C-contiguous arrays of equal size that do not overlap.\n\nRaises "
           "ShapeError for other sizes or dtypes.");

  base.def("float_to_half_transposed", &float_to_half_transposed, py::arg("source").noconvert(),
           py::arg("target").noconvert(),
           "Converts float32 [R, C] to float16 [C, R], rounding as float_to_half. C-contiguous "
           "arrays that do not overlap.\n\nRaises ShapeError for other sizes or dtypes.");

  base.def("num_threads", &pyane::num_threads,
           "Threads used for evaluation: PYANE_NUM_THREADS, else the physical cores this process "
           "may use. Raises Error when PYANE_NUM_THREADS is no such number.");
  base.def("set_num_threads", &pyane::set_num_threads, py::arg("n"),
           "Sets the number of threads for evaluation. Raises ShapeError when n is not in [1, "
           "MAX_THREADS].");
  base.attr("MAX_THREADS") = pyane::kMaxThreads;
  base.def("usable_cores", &pyane::usable_cores,
           "Physical cores that this process may use, by its affinity and a container's quota; on "
           "Apple silicon performance cores.");
  base.def(
      "memory_of_machine",
      []() -> std::optional<std::int64_t> {
        const std::int64_t n_bytes = pyane::memory_of_machine();
        if (n_bytes == std::numeric_limits<std::int64_t>::max()) return std::nullopt;
        return n_bytes;
      },
      "Bytes of main memory; None when the system does not say.");
  base.def(
      "isa", [] { return std::string(pyane::isa_name(pyane::active_isa())); },
      "Instruction set of the hot loops: 'avx512', 'avx2', 'neon' or 'scalar'. PYANE_ISA lowers "
      "it. Raises Error when PYANE_ISA is not one that this CPU has.");
  base.def(
      "available_isas",
      [] {
        std::vector<std::string> names;
        for (const pyane::Isa isa : pyane::available_isas()) names.emplace_back(isa_name(isa));
        return names;
      },
      "Names of the instruction sets that this CPU has, the best last.");
  base.def(
      "set_isa", [](const std::string& name) { pyane::set_isa(name); }, py::arg("name"),
      "Chooses the instruction set for what is compiled from now on; for tests. Raises Error when "
      "this CPU does not have it.");
  bind_ceilings(base);
  // For tests of the pool: Python exceptions travel through it.
  base.def(
      "parallel_for",
      [](std::size_t n, const std::function<void(std::size_t)>& body) {
        const py::gil_scoped_release release;
        pyane::parallel_for(n, body);
      },
      py::arg("n"), py::arg("body"),
      "Calls body(i) for every i in range(n) on the thread pool; for tests. The first exception is "
      "raised again here.");
}
