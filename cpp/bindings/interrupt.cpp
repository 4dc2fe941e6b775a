#include "interrupt.h"

#include <pthread.h>
#include <pybind11/pybind11.h>

#include "pyane/base/error.h"

namespace py = pybind11;

namespace {

unsigned long main_thread = 0;

thread_local bool runs_handlers = false;

void raise_what_is_pending() {
  const py::gil_scoped_acquire acquire;
  runs_handlers = true;
  const int result = PyErr_CheckSignals();
  runs_handlers = false;
  if (result != 0) throw py::error_already_set();
}

pyane::InterruptScope::Check check_of_this_thread() {
  if (runs_handlers) {
    throw pyane::Error(
        "a signal handler that interrupts an evaluation or compilation cannot start another one; "
        "set a flag there, and look at it afterwards");
  }
  return PyThread_get_thread_ident() == main_thread ? &raise_what_is_pending : nullptr;
}

}  // namespace

void find_main_thread() {
  main_thread =
      py::module_::import("threading").attr("main_thread")().attr("ident").cast<unsigned long>();
  // In a child the thread that forked is the main one: there is no other.
  static const int registered = pthread_atfork(nullptr, nullptr, [] {
    main_thread = PyThread_get_thread_ident();
    runs_handlers = false;
  });
  static_cast<void>(registered);
}

Interruptible::Interruptible() : scope_(check_of_this_thread()) {}
