#include "bindings.h"

namespace py = pybind11;

void bind_base(py::module_& m) {
  auto base = m.def_submodule("base", "Threads and fp16 conversion.");
  static_cast<void>(base);
}
