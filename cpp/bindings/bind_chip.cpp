#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string_view>

#include "bindings.h"
#include "pyane/chip/profile.h"

namespace py = pybind11;
namespace chip = pyane::chip;

void bind_chip(py::module_& m) {
  auto module = m.def_submodule("chip", "What is known of each chip; the linter's rules.");

  py::class_<chip::FactRow>(module, "Fact", "One value of a chip, how it is known and from whom.")
      .def_readonly("group", &chip::FactRow::group, "identity, limits, quirks, numerics or rates.")
      .def_readonly("name", &chip::FactRow::name)
      .def_readonly("description", &chip::FactRow::description)
      .def_readonly("value", &chip::FactRow::value, "None: there is no such bound.")
      .def_property_readonly(
          "status", [](const chip::FactRow& fact) { return chip::to_string(fact.status); },
          "measured, decompiled, published, predicted, inferred or contested.")
      .def_readonly("source", &chip::FactRow::source)
      .def_readonly("measured_on", &chip::FactRow::measured_on,
                    "Names of the products it was measured on, separated by spaces.")
      .def("__repr__", [](const chip::FactRow& fact) {
        return "<Fact " + std::string(fact.name) + ": " +
               py::repr(py::cast(fact.value)).cast<std::string>() + ", " +
               std::string(chip::to_string(fact.status)) + ">";
      });

  py::class_<chip::Profile>(module, "Profile", "A chip. Use pyane.chips.")
      .def_readonly("name", &chip::Profile::name)
      .def_readonly("product", &chip::Profile::product)
      .def_readonly("generation", &chip::Profile::generation)
      .def_property_readonly("facts", &chip::facts, "In the order of the fields.");

  module.def(
      "profiles",
      [] {
        py::list list;
        for (const chip::Profile& profile : chip::profiles()) {
          list.append(py::cast(profile, py::return_value_policy::reference));
        }
        return list;
      },
      "Every chip, oldest first.");
  module.def("find_profile", &chip::find_profile, py::arg("name"),
             py::return_value_policy::reference,
             "The chip of that name, e.g. \"m1max\" or \"M1 Max\". Raises ConfigError.");
}
