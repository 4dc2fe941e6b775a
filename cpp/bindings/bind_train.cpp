#include "bindings.h"

namespace py = pybind11;

void bind_train(py::module_& m) {
  auto train = m.def_submodule("train", "CPU half of training, on fp32 buffers.");
  static_cast<void>(train);
}
