#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings.h"
#include "pyane/base/error.h"
#include "pyane/chip/check.h"
#include "pyane/chip/native_ops.h"
#include "pyane/chip/profile.h"
#include "pyane/chip/rules.h"

namespace py = pybind11;
namespace chip = pyane::chip;

namespace {

void bind_profiles(py::module_& module) {
  py::class_<chip::FactRow>(module, "Fact", "One value of a chip, how it is known and from whom.")
      .def_readonly("group", &chip::FactRow::group,
                    "identity, limits, quirks, numerics, rates or host.")
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

/// A weight file for the time of one call: nothing is copied.
class BorrowedBuffer {
 public:
  BorrowedBuffer(const std::string& path, const py::handle& value) {
    if (PyObject_GetBuffer(value.ptr(), &view_, PyBUF_ANY_CONTIGUOUS) != 0) {
      PyErr_Clear();
      throw pyane::BlobError("check: weights[\"" + path +
                             "\"] must be bytes-like and contiguous, got " +
                             py::str(py::type::handle_of(value)).cast<std::string>());
    }
  }
  ~BorrowedBuffer() { PyBuffer_Release(&view_); }
  BorrowedBuffer(const BorrowedBuffer&) = delete;
  BorrowedBuffer& operator=(const BorrowedBuffer&) = delete;
  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(view_.buf), static_cast<std::size_t>(view_.len)};
  }

 private:
  Py_buffer view_{};
};

std::vector<chip::Diagnostic> check(const py::bytes& text, const py::dict& weights,
                                    const std::vector<std::string>& chips, std::string function,
                                    std::string source_name) {
  pyane::mil::Model model{
      .text = std::string(text), .weights = {}, .source_name = std::move(source_name)};
  std::vector<std::unique_ptr<BorrowedBuffer>> views;
  for (const auto& [key, value] : weights) {
    const auto path = key.cast<std::string>();
    views.push_back(std::make_unique<BorrowedBuffer>(path, value));
    model.weights.emplace(path, pyane::mil::SharedBytes{nullptr, views.back()->bytes()});
  }
  std::vector<const chip::Profile*> profiles;
  for (const std::string& name : chips) profiles.push_back(&chip::find_profile(name));
  const py::gil_scoped_release release;
  return chip::check(model, profiles, {.function = std::move(function)});
}

void bind_rules(py::module_& module) {
  py::class_<chip::Rule>(module, "Rule", "A rule of the linter: docs/ane_constraints.md.")
      .def_readonly("id", &chip::Rule::id, "\"ANE001\"; never given to another rule.")
      .def_readonly("name", &chip::Rule::name)
      .def_readonly("title", &chip::Rule::title)
      .def_property_readonly("severity",
                             [](const chip::Rule& rule) { return chip::to_string(rule.severity); })
      .def_readonly("why", &chip::Rule::why)
      .def_readonly("instead", &chip::Rule::instead)
      .def_readonly("evidence", &chip::Rule::evidence)
      .def_readonly("engine_text", &chip::Rule::engine_text, "Empty: not known.")
      .def("__repr__", [](const chip::Rule& rule) {
        return "<Rule " + std::string(rule.id) + " " + std::string(rule.name) + ">";
      });

  py::class_<chip::Diagnostic>(module, "Diagnostic", "A finding. Use pyane.check.")
      .def_readonly("rule", &chip::Diagnostic::rule, "\"ANE034\"")
      .def_readonly("name", &chip::Diagnostic::name, "Name of the rule.")
      .def_property_readonly(
          "severity", [](const chip::Diagnostic& d) { return chip::to_string(d.severity); },
          "refused-at-compile, refused-at-evaluate, silently-wrong, slow or advice.")
      .def_readonly("is_contested", &chip::Diagnostic::is_contested,
                    "Sources disagree: take it as a warning.")
      .def_readonly("chip", &chip::Diagnostic::chip)
      .def_readonly("message", &chip::Diagnostic::message)
      .def_readonly("why", &chip::Diagnostic::why)
      .def_readonly("instead", &chip::Diagnostic::instead, "What to write.")
      .def_readonly("evidence", &chip::Diagnostic::evidence)
      .def_readonly("source_name", &chip::Diagnostic::source_name)
      .def_readonly("function", &chip::Diagnostic::function)
      .def_readonly("line", &chip::Diagnostic::line, "From 1; 0 when there is no place.")
      .def_readonly("column", &chip::Diagnostic::column)
      .def_readonly("operation", &chip::Diagnostic::operation, "Type of the operation, or empty.")
      .def_readonly("value", &chip::Diagnostic::value, "Name of the value, or empty.")
      .def_readonly("engine_text", &chip::Diagnostic::engine_text,
                    "The engine's own refusal, where known.")
      .def("__str__", [](const chip::Diagnostic& d) { return chip::to_string(d); })
      .def("__repr__",
           [](const chip::Diagnostic& d) { return "<Diagnostic " + chip::to_string(d) + ">"; });

  module.def(
      "rules",
      [] {
        py::list list;
        for (const chip::Rule& rule : chip::all_rules()) {
          list.append(py::cast(rule, py::return_value_policy::reference));
        }
        return list;
      },
      "Every rule, sorted by id.");
  module.def("find_rule", &chip::find_rule, py::arg("id_or_name"),
             py::return_value_policy::reference, "None when there is no such rule.");
  module.def("check", &check, py::arg("text"), py::arg("weights"), py::arg("chips"),
             py::arg("function"), py::arg("source_name"),
             "Every rule for every chip, without the GIL. Raises MilSyntaxError, MilVerifyError, "
             "ConfigError.");
}

void bind_native_ops(py::module_& module) {
  py::class_<chip::NativeOp>(module, "NativeOp", "Which generations run an operation.")
      .def_readonly("op", &chip::NativeOp::op)
      .def_property_readonly(
          "support",
          [](const chip::NativeOp& op) {
            std::vector<std::string_view> words;
            for (const chip::Support support : op.support) words.push_back(to_string(support));
            return py::tuple(py::cast(words));
          },
          "M1 to M5: native, bridged, refused, contested or unknown.")
      .def_readonly("source", &chip::NativeOp::source)
      .def_readonly("note", &chip::NativeOp::note);
  module.def(
      "native_ops",
      [] {
        py::list list;
        for (const chip::NativeOp& op : chip::native_ops()) {
          list.append(py::cast(op, py::return_value_policy::reference));
        }
        return list;
      },
      "Every operation that a source speaks of, sorted by name.");
  module.def(
      "native_support",
      [](const std::string& op, const std::string& name) {
        return chip::to_string(chip::native_support(op, chip::find_profile(name)));
      },
      py::arg("op"), py::arg("chip"),
      "native, bridged, refused, contested or unknown. Raises ConfigError.");
}

}  // namespace

void bind_chip(py::module_& m) {
  auto module = m.def_submodule("chip", "What is known of each chip; the linter's rules.");
  bind_profiles(module);
  bind_native_ops(module);
  bind_rules(module);
}
