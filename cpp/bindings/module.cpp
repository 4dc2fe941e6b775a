#include <pybind11/pybind11.h>

#include "bindings.h"
#include "pyane/base/error.h"

namespace py = pybind11;

namespace {

// Raises pyane.errors.<name>(*args). The classes live in Python so that they can carry attributes.
template <typename... Args>
void raise(const char* name, Args&&... args) {
  const py::object type = py::module_::import("pyane.errors").attr(name);
  const py::object value = type(std::forward<Args>(args)...);
  PyErr_SetObject(type.ptr(), value.ptr());
}

// Derived classes before their bases.
void translate(std::exception_ptr pending) {
  try {
    if (pending) std::rethrow_exception(pending);
  } catch (const pyane::MilSyntaxError& e) {
    raise("MilSyntaxError", e.what(), e.line, e.column);
  } catch (const pyane::MilVerifyError& e) {
    raise("MilVerifyError", e.what(), e.op, e.line, e.column);
  } catch (const pyane::UnsupportedOpError& e) {
    raise("UnsupportedOpError", e.what(), e.op, e.line, e.column);
  } catch (const pyane::ShapeError& e) {
    raise("ShapeError", e.what());
  } catch (const pyane::BlobError& e) {
    raise("BlobError", e.what());
  } catch (const pyane::ConfigError& e) {
    raise("ConfigError", e.what());
  } catch (const pyane::ModelError& e) {
    raise("ModelError", e.what());
  } catch (const pyane::CompileBudgetError& e) {
    raise("CompileBudgetError", e.what());
  } catch (const pyane::CompileError& e) {
    raise("CompileError", e.what());
  } catch (const pyane::EvaluateError& e) {
    raise("EvaluateError", e.what(), e.status);
  } catch (const pyane::AneUnavailableError& e) {
    raise("AneUnavailableError", e.what());
  } catch (const pyane::AneError& e) {
    raise("AneError", e.what(), e.stage, e.domain, e.code);
  } catch (const pyane::Error& e) {
    raise("Error", e.what());
  }
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() = "Native core of pyane. Import from pyane, not from here.";
  m.attr("__version__") = PYANE_VERSION;
  py::register_local_exception_translator(&translate);
  bind_base(m);
  bind_mil(m);
  bind_chip(m);
  bind_engine(m);
  bind_train(m);
}
