#include "interrupt.h"

#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace {

unsigned long main_thread = 0;

void raise_what_is_pending() {
  const py::gil_scoped_acquire acquire;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

}  // namespace

void find_main_thread() {
  main_thread =
      py::module_::import("threading").attr("main_thread")().attr("ident").cast<unsigned long>();
}

Interruptible::Interruptible()
    : scope_(PyThread_get_thread_ident() == main_thread ? &raise_what_is_pending : nullptr) {}
