#include "bindings.h"

namespace py = pybind11;

void bind_mil(py::module_& m) {
  auto mil = m.def_submodule(
      "mil", "MIL text: parser, printer, verifier, operation registry, weight files.");
  static_cast<void>(mil);
}
