#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "pyane/base/error.h"
#include "pyane/emulator/constant_evaluator.h"
#include "pyane/mil/cost.h"

// What a program costs to evaluate.

namespace py = pybind11;
using pyane::mil::Cost;
using pyane::mil::OperationCost;
using pyane::mil::Program;
using pyane::mil::WeightGroup;

namespace {

const pyane::mil::Function& named(const Program& program, const std::string& name) {
  const pyane::mil::Function* const found = program.find_function(name);
  if (found == nullptr) {
    throw pyane::ShapeError(program.source_name + ": there is no function '" + name + "'");
  }
  return *found;
}

/// The costs point into the program and its verified form.
struct HeldCost {
  std::shared_ptr<Program> program;
  std::unique_ptr<pyane::mil::VerifiedFunction> verified;
  Cost cost;
};

std::shared_ptr<HeldCost> cost(const std::shared_ptr<Program>& program, const std::string& name) {
  const py::gil_scoped_release release;
  auto held = std::make_shared<HeldCost>();
  held->program = program;
  held->verified = std::make_unique<pyane::mil::VerifiedFunction>(
      verify(*program, named(*program, name), nullptr, pyane::emulator::evaluate_constant));
  held->cost = pyane::mil::cost(*held->verified);
  return held;
}

}  // namespace

void bind_cost(py::module_& m) {
  py::class_<OperationCost>(m, "OperationCost", "What one operation costs.")
      .def_property_readonly("op", [](const OperationCost& c) { return c.operation->record->name; })
      .def_property_readonly("family",
                             [](const OperationCost& c) { return c.operation->record->family; })
      .def_property_readonly(
          "name", [](const OperationCost& c) { return c.operation->operation->display_name(); })
      .def_property_readonly("location",
                             [](const OperationCost& c) {
                               const auto& location = c.operation->operation->location;
                               return py::make_tuple(location.line, location.column);
                             })
      .def_readonly("flops", &OperationCost::flops,
                    "A multiply-add counts 2; None when dimensions are unknown.");
  py::class_<HeldCost, std::shared_ptr<HeldCost>>(m, "Cost", "What a function costs to evaluate.")
      .def_property_readonly(
          "operations",
          [](const py::object& self) {
            py::list list;
            for (const OperationCost& item : self.cast<const HeldCost&>().cost.operations) {
              list.append(py::cast(item, py::return_value_policy::reference_internal, self));
            }
            return list;
          })
      .def_property_readonly("input_bytes", [](const HeldCost& c) { return c.cost.input_bytes; })
      .def_property_readonly("output_bytes", [](const HeldCost& c) { return c.cost.output_bytes; })
      .def_property_readonly("state_bytes", [](const HeldCost& c) { return c.cost.state_bytes; })
      .def_property_readonly("peak_activation_bytes",
                             [](const HeldCost& c) { return c.cost.peak_activation_bytes; });
  m.def("cost", &cost, py::arg("program"), py::arg("function"),
        "Verifies a function and says what evaluating it costs. Raises what verify raises.");
  m.def(
      "weights",
      [](const Program& program, const std::string& name) {
        py::list list;
        for (const WeightGroup& group : weights(named(program, name))) {
          list.append(py::make_tuple(std::string(pyane::dtype_name(group.dtype)), group.n_tensors,
                                     group.n_bytes));
        }
        return list;
      },
      py::arg("program"), py::arg("function"),
      "Tensors of a function in weight files: (element type, tensors, bytes as stored).");
}
