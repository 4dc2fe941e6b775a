#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "interrupt.h"
#include "mil_arrays.h"
#include "pyane/ane/ane_device.h"
#include "pyane/base/error.h"
#include "pyane/engine/device.h"
#include "pyane/engine/request_list.h"
#include "pyane/mil/parser.h"
#include "pyane/surface/surface.h"

namespace py = pybind11;

namespace {

/// NumPy's name of an element type; what NumPy does not know is shown as its bits.
const char* numpy_name(pyane::DType dtype) {
  using pyane::DType;
  switch (dtype) {
    case DType::kFp16:
      return "float16";
    case DType::kFp32:
      return "float32";
    case DType::kFp64:
      return "float64";
    case DType::kBool:
      return "bool";
    case DType::kInt8:
      return "int8";
    case DType::kInt16:
      return "int16";
    case DType::kInt32:
      return "int32";
    case DType::kInt64:
      return "int64";
    case DType::kUint16:
    case DType::kBf16:
      return "uint16";
    case DType::kUint32:
      return "uint32";
    case DType::kUint64:
      return "uint64";
    default:
      return "uint8";
  }
}

std::string text_of(const py::handle& object) { return py::str(object).cast<std::string>(); }

/// A buffer, held until it is let go of, and what lent it.
struct HeldBuffer {
  Py_buffer view{};
  ~HeldBuffer() {
    if (view.obj == nullptr || Py_IsInitialized() == 0) return;
    const py::gil_scoped_acquire acquire;
    PyBuffer_Release(&view);
  }
};

/// Files of gigabytes are not to be copied: what the mapping of a file shows is left to its owner.
bool is_read_only_mapping(const py::handle& value, const Py_buffer& view) {
  return view.readonly != 0 && py::isinstance(value, py::module_::import("mmap").attr("mmap"));
}

/// Bytes of a weight file. Immutable memory and read-only mappings are kept, others are copied:
/// weights are baked into the kernel, so later changes of the buffer must not show.
pyane::mil::SharedBytes shared_bytes(const std::string& path, const py::handle& value) {
  auto held = std::make_shared<HeldBuffer>();
  Py_buffer& view = held->view;
  if (PyObject_GetBuffer(value.ptr(), &view, PyBUF_ANY_CONTIGUOUS) != 0) {
    PyErr_Clear();
    throw pyane::BlobError("compile: weights[\"" + path +
                           "\"] must be bytes-like and contiguous, got " +
                           text_of(py::type::handle_of(value)));
  }
  const std::span data(static_cast<const std::byte*>(view.buf), static_cast<std::size_t>(view.len));
  if (pyane::bindings::is_immutable(py::reinterpret_borrow<py::object>(value)) ||
      is_read_only_mapping(value, view)) {
    return {std::move(held), data};
  }
  auto copy = std::make_shared<std::vector<std::byte>>(data.begin(), data.end());
  const std::span<const std::byte> bytes(*copy);
  return {std::move(copy), bytes};
}

/// The kernel and the warnings about its weight files.
std::pair<std::shared_ptr<pyane::Kernel>, std::vector<std::string>> compile(
    pyane::Device& device, std::string text, const py::dict& weights, std::string function,
    std::string source_name) {
  pyane::mil::Model model{
      .text = std::move(text), .weights = {}, .source_name = std::move(source_name)};
  for (const auto& [key, value] : weights) {
    const auto path = key.cast<std::string>();
    model.weights.emplace(path, shared_bytes(path, value));
  }
  std::vector<std::string> warnings;
  const pyane::CompileOptions options{
      .function = std::move(function),
      .warn = [&](const std::string& message) { warnings.push_back(message); }};
  const py::gil_scoped_release release;
  const Interruptible interruptible;
  auto kernel = device.compile(model, options);
  return {std::move(kernel), std::move(warnings)};
}

/// Names of a function's parameters, states left out, and results in the order of its declaration,
/// which is not the order of a kernel's surfaces.
std::pair<std::vector<std::string>, std::vector<std::string>> signature(
    const std::string& text, const std::string& function) {
  const pyane::mil::Program program = pyane::mil::parse(text);
  const pyane::mil::Function* found =
      program.find_function(function.empty() ? std::string_view("main") : function);
  if (found == nullptr && !program.functions.empty()) found = &program.functions.front();
  std::pair<std::vector<std::string>, std::vector<std::string>> names;
  if (found == nullptr) return names;
  for (const auto& parameter : found->parameters) {
    const bool is_state = parameter.type.kind == pyane::mil::Type::Kind::kState;
    if (!is_state) names.first.push_back(parameter.name);
  }
  for (const auto& output : found->body.outputs) {
    if (output.is_name()) names.second.push_back(output.name());
  }
  return names;
}

py::dict budget_facts(const pyane::Budget& budget) {
  py::dict facts;
  facts["compiles"] = budget.compiles;
  facts["compile_limit"] = budget.compile_limit;
  facts["loaded"] = budget.loaded;
  facts["load_limit"] = budget.load_limit;
  return facts;
}

void bind_ane(py::module_& engine) {
  engine.def(
      "create_ane",
      [](std::uint32_t qos, bool perf_stats) {
        return pyane::ane::create_device({.qos = qos, .perf_stats = perf_stats});
      },
      py::arg("qos") = pyane::ane::DeviceOptions().qos, py::arg("perf_stats") = false,
      "The Apple Neural Engine. Raises AneUnavailableError.");
  engine.def("ane_unavailable_reason", &pyane::ane::unavailable_reason,
             "Empty when an Apple Neural Engine can be reached from here.");
  engine.def(
      "ane_device_info",
      []() -> py::object {
        const auto info = pyane::ane::device_info();
        if (!info) return py::none();
        py::dict facts;
        facts["framework_path"] = info->framework_path;
        facts["has_ane"] = info->has_ane;
        facts["is_virtual_machine"] = info->is_virtual_machine;
        facts["n_engines"] = info->n_engines;
        facts["n_cores"] = info->n_cores;
        facts["architecture"] = info->architecture;
        facts["sub_type"] = info->sub_type;
        facts["board_type"] = info->board_type;
        facts["product_name"] = info->product_name;
        facts["build_version"] = info->build_version;
        return facts;
      },
      "What the framework says of the machine; None where it cannot be loaded.");
  engine.def(
      "ane_budget", [] { return budget_facts(pyane::ane::budget()); },
      "Compilations and loaded programs of this process, and their limits.");
}

}  // namespace

void bind_engine(py::module_& m) {
  auto engine = m.def_submodule("engine", "Devices, kernels, requests, surfaces.");
  find_main_thread();
  bind_surface(engine);
  bind_profile(engine);

  py::class_<pyane::TensorSpec>(engine, "TensorSpec", "One input or output of a kernel.")
      .def_readonly("name", &pyane::TensorSpec::name)
      .def_property_readonly(
          "dtype", [](const pyane::TensorSpec& spec) { return py::dtype(numpy_name(spec.dtype)); },
          "As a numpy.dtype; element types that NumPy lacks as unsigned integers of their bits.")
      .def_property_readonly(
          "shape", [](const pyane::TensorSpec& spec) { return py::tuple(py::cast(spec.shape)); })
      .def_readonly("n_bytes", &pyane::TensorSpec::n_bytes, "Packed size.");

  py::class_<pyane::Request, std::shared_ptr<pyane::Request>>(
      engine, "Request", "Surfaces bound to a kernel. Use pyane.Request.")
      .def("evaluate", &pyane::Request::evaluate,
           py::call_guard<py::gil_scoped_release, Interruptible>(),
           "Runs the kernel once, without the GIL. Raises EvaluateError.")
      .def("profile", &pyane::Request::profile,
           py::call_guard<py::gil_scoped_release, Interruptible>(),
           "Runs the kernel once and tells where the time went; None, without running it, on "
           "devices that cannot. Raises EvaluateError.")
      .def_property_readonly("device_time_ns", &pyane::Request::device_time_ns,
                             "The device's own time for the last evaluate; None if not told.")
      .def_property_readonly("states", &pyane::Request::states,
                             "Memory of the states, in the order of the kernel's.");

  py::class_<pyane::Kernel, std::shared_ptr<pyane::Kernel>>(
      engine, "Kernel", "A compiled function. Use pyane.Kernel.")
      .def_property_readonly("inputs", &pyane::Kernel::inputs, "In alphabetical order.")
      .def_property_readonly("outputs", &pyane::Kernel::outputs, "In alphabetical order.")
      .def_property_readonly("states", &pyane::Kernel::states, "In alphabetical order.")
      .def_property_readonly("surface_bytes", &pyane::Kernel::surface_bytes,
                             "Allocation that every surface of a request should have.")
      .def_property_readonly("is_loaded", &pyane::Kernel::is_loaded)
      .def_property_readonly("device_name", &pyane::Kernel::device_name)
      .def_property_readonly("details", &pyane::Kernel::details,
                             "What the device tells of the kernel: (key, value) pairs.")
      .def("bind",
           py::overload_cast<std::vector<std::shared_ptr<pyane::Surface>>,
                             std::vector<std::shared_ptr<pyane::Surface>>,
                             std::vector<std::shared_ptr<pyane::Surface>>>(&pyane::Kernel::bind),
           py::arg("inputs"), py::arg("outputs"),
           py::arg("states") = std::vector<std::shared_ptr<pyane::Surface>>(),
           "Binds surfaces in the order of inputs, outputs and states (none: zero-filled ones of "
           "the request's own). Raises ShapeError.")
      .def("unload", &pyane::Kernel::unload, py::call_guard<py::gil_scoped_release>(),
           "Frees what the device holds.");

  py::class_<pyane::Device, std::shared_ptr<pyane::Device>>(
      engine, "Device", "Where programs are compiled. Use pyane.device().")
      .def_property_readonly("name", &pyane::Device::name)
      .def(
          "budget",
          [](const pyane::Device& device) -> py::object {
            const auto budget = device.budget();
            if (!budget) return py::none();
            return budget_facts(*budget);
          },
          "Compilations and loaded programs of this process, and their limits; None: no limits.")
      .def("compile", &compile, py::arg("text"), py::arg("weights"), py::arg("function"),
           py::arg("source_name"),
           "Compiles MIL text, without the GIL. Returns the kernel and warnings.");

  engine.def(
      "evaluate",
      [](const std::vector<std::shared_ptr<pyane::Request>>& requests) {
        const py::gil_scoped_release release;
        const Interruptible interruptible;
        pyane::evaluate_in_order(requests);
      },
      py::arg("requests"),
      "Evaluates the requests as if in order, without returning to Python; small ones that need "
      "not "
      "wait for each other at the same time.");
  engine.def("signature", &signature, py::arg("text"), py::arg("function"),
             "Names of a function's parameters and results as declared.");
  bind_emulator(engine);
  bind_ane(engine);
}
