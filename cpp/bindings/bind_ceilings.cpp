#include <pybind11/pybind11.h>

#include <cstddef>

#include "bindings.h"
#include "pyane/base/ceilings.h"
#include "pyane/linalg/gemm.h"

// What this machine can do, measured; for benchmarks and profiles.

namespace py = pybind11;

void bind_ceilings(py::module_& base) {
  base.def("measure_fma_gflops", &pyane::linalg::measure_fma_gflops, py::arg("threads") = 1,
           py::call_guard<py::gil_scoped_release>(),
           "Ceiling of fp32 multiply-adds of `threads` threads together, measured on registers "
           "alone, in GFLOP/s (a multiply-add is 2). Takes about 50 ms.");
  base.def("measure_int8_gops", &pyane::measure_int8_gops, py::arg("threads") = 1,
           py::call_guard<py::gil_scoped_release>(),
           "Ceiling of products of 8-bit integers summed in 32 bits (VNNI, dot-product "
           "instructions), in 1e9 operations a second; 0 where there are no such instructions.");
  base.def("measure_conversion_gbps", &pyane::measure_conversion_gbps, py::arg("n_bytes"),
           py::arg("threads") = 1, py::call_guard<py::gil_scoped_release>(),
           "Ceiling of reading float16, converting to float32 and back, and writing: GB/s read "
           "and written, over n_bytes of memory in all, shared among the threads.");
  base.def("measure_copy_gbps", &pyane::measure_copy_gbps, py::arg("n_bytes"),
           py::arg("threads") = 1, py::call_guard<py::gil_scoped_release>(),
           "memcpy: GB/s read and written, over n_bytes of memory in all.");
  base.def("measure_triad_gbps", &pyane::measure_triad_gbps, py::arg("n_bytes"),
           py::arg("threads") = 1, py::call_guard<py::gil_scoped_release>(),
           "a = b + 3 c in float32 past the caches: GB/s of the three streams, over n_bytes of "
           "memory in all; give several times the last cache's size.");
}
