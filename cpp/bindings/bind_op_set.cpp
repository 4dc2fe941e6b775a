#include <pybind11/stl.h>

#include <map>

#include "bindings.h"
#include "pyane/emulator/constant_evaluator.h"
#include "pyane/mil/bind_dimensions.h"
#include "pyane/mil/op_set.h"
#include "pyane/mil/verifier.h"

namespace py = pybind11;
using pyane::mil::all_ops;
using pyane::mil::Fill;
using pyane::mil::Function;
using pyane::mil::InputSpec;
using pyane::mil::KnownValue;
using pyane::mil::Operation;
using pyane::mil::OpRecord;
using pyane::mil::Program;
using pyane::mil::Type;
using pyane::mil::Value;

// The registry of operations, and what the verifier makes of it.

namespace {

const char* kind_name(Type::Kind kind) {
  switch (kind) {
    case Type::Kind::kList:
      return "list";
    case Type::Kind::kState:
      return "state";
    case Type::Kind::kTensorBuffer:
      return "tensor_buffer";
    default:
      return "tensor";
  }
}

std::vector<std::string> dtypes_of(const InputSpec& spec) {
  std::vector<std::string> names;
  for (int i = 0; i <= static_cast<int>(pyane::DType::kUint64); ++i) {
    if ((spec.dtypes >> i & 1U) != 0) {
      names.emplace_back(pyane::dtype_name(static_cast<pyane::DType>(i)));
    }
  }
  return names;
}

py::object default_of(const InputSpec& spec) {
  return std::visit(
      [](const auto& value) -> py::object {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::monostate>) {
          return py::none();
        } else {
          return py::cast(value);
        }
      },
      spec.default_value);
}

std::vector<Type> infer(const Operation& operation,
                        const std::vector<std::pair<Value, bool>>& values) {
  std::vector<KnownValue> known;
  for (const auto& [value, is_constant] : values) {
    known.push_back({.name = value.name, .type = value.type, .is_constant = is_constant});
  }
  return infer_types(operation, known);
}

void verify_all(const Program& program) {
  const py::gil_scoped_release release;
  for (const Function& function : program.functions) verify(program, function, nullptr);
}

std::shared_ptr<Program> bind_dimensions(const Program& program, const std::string& function,
                                         const std::map<std::string, pyane::Shape>& shapes) {
  const py::gil_scoped_release release;
  return std::make_shared<Program>(pyane::mil::bind_dimensions(program, function, shapes, nullptr,
                                                               pyane::emulator::evaluate_constant));
}

}  // namespace

void bind_op_set(py::module_& m) {
  py::class_<Fill>(m, "Fill", "Default of a vector with entries for each spatial dimension of x.")
      .def_readonly("value", &Fill::value)
      .def_readonly("per_spatial_dim", &Fill::per_spatial_dim);
  py::class_<InputSpec>(m, "InputSpec", "One input of an operation.")
      .def_readonly("name", &InputSpec::name)
      .def_property_readonly("dtypes", &dtypes_of, "Accepted element types.")
      .def_property_readonly(
          "group", [](const InputSpec& s) { return s.group == 0 ? "" : std::string(1, s.group); },
          "Inputs with the same letter share an element type; empty: free.")
      .def_readonly("is_required", &InputSpec::is_required)
      .def_readonly("is_constant", &InputSpec::is_constant, "Must be known before evaluation.")
      .def_readonly("is_variadic", &InputSpec::is_variadic, "Takes a tuple of values.")
      .def_property_readonly("default", &default_of, "None: no default, may be absent.")
      .def_readonly("rank", &InputSpec::rank, "0: a scalar; 1: a vector; -1: any.")
      .def_property_readonly("kind", [](const InputSpec& s) { return kind_name(s.kind); });
  py::class_<OpRecord>(m, "OpRecord", "One operation of MIL.")
      .def_readonly("name", &OpRecord::name)
      .def_readonly("opset", &OpRecord::opset, "First opset that has it.")
      .def_readonly("family", &OpRecord::family)
      .def_readonly("inputs", &OpRecord::inputs)
      .def_readonly("returns_tuple", &OpRecord::returns_tuple)
      .def_readonly("is_constexpr", &OpRecord::is_constexpr)
      .def_readonly("is_impure", &OpRecord::is_impure,
                    "Gives other numbers at every evaluation, or changes something.")
      .def_readonly("n_blocks", &OpRecord::n_blocks, "Blocks nested in it.")
      .def("__repr__", [](const OpRecord& r) { return "<OpRecord " + r.name + ">"; });
  m.def(
      "op_set",
      [] {
        py::list records;
        for (const OpRecord* record : all_ops()) {
          records.append(py::cast(record, py::return_value_policy::reference));
        }
        return records;
      },
      "Every operation pyane knows, by name.");
  m.def("infer_types", &infer, py::arg("operation"), py::arg("values"),
        "Result types of an operation without results; `values` are those it names, with True for\n"
        "the ones that are constants.");
  m.def("verify", &verify_all, py::arg("program"),
        "Checks names and types of every function; weight files are not read.");
  m.def("bind_dimensions", &bind_dimensions, py::arg("program"), py::arg("function"),
        py::arg("shapes"),
        "The program with dimensions `?` of a function's parameters given by name, and all types "
        "worked out from them. Raises ShapeError, CompileError, MilVerifyError.");
}
