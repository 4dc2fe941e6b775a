#include "bindings.h"

namespace py = pybind11;

void bind_engine(py::module_& m) {
  auto engine = m.def_submodule("engine", "Devices, kernels, requests, surfaces.");
  static_cast<void>(engine);
}
