#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "bindings.h"
#include "pyane/base/error.h"
#include "pyane/chip/profile.h"
#include "pyane/emulator/emulator_device.h"
#include "pyane/emulator/hardware/numerics.h"
#include "pyane/emulator/hardware/tables.h"
#include "pyane/emulator/kernels/registry.h"

namespace py = pybind11;

namespace {

using pyane::emulator::hardware::Numerics;

template <typename Value>
Value chosen(const char* field, const std::string& name, std::optional<Value> value,
             const char* known) {
  if (value) return *value;
  throw pyane::ConfigError(std::string("numerics: ") + field + " must be one of " + known +
                           ", got '" + name + "'");
}

void bind_numerics(py::module_& engine) {
  py::class_<Numerics>(engine, "Numerics", "A chip's arithmetic. Use pyane.HardwareNumerics.")
      .def(py::init([](const std::string& chip) {
             return pyane::emulator::hardware::numerics_of(pyane::chip::find_profile(chip));
           }),
           py::arg("chip"))
      .def(
          "set_accumulator",
          [](Numerics& numerics, const std::string& name) {
            numerics.accumulator =
                chosen("accumulator", name, pyane::emulator::hardware::accumulator_from_name(name),
                       "'lanes4', 'q15.16', 'exact'");
          },
          py::arg("name"))
      .def(
          "set_alignment",
          [](Numerics& numerics, const std::string& name) {
            numerics.alignment =
                chosen("alignment", name, pyane::emulator::hardware::alignment_from_name(name),
                       "'truncate', 'floor', 'nearest-even'");
          },
          py::arg("name"))
      .def_readwrite("accumulator_bits", &Numerics::accumulator_bits)
      .def_readwrite("rounds_products", &Numerics::rounds_products)
      .def_readwrite("mac_ceiling", &Numerics::mac_ceiling)
      .def_readwrite("flushes_mac_denormals", &Numerics::flushes_mac_denormals)
      .def_readwrite("rounds_ties_away", &Numerics::rounds_ties_away)
      .def_readwrite("reduces_by_lanes", &Numerics::reduces_by_lanes)
      .def_readwrite("int8_activation_ceiling", &Numerics::int8_activation_ceiling)
      .def_readwrite("width_slice_ceiling", &Numerics::width_slice_ceiling)
      .def_readwrite("uses_tables", &Numerics::uses_tables);
}

}  // namespace

void bind_emulator(py::module_& engine) {
  bind_numerics(engine);
  engine.def(
      "create_emulator",
      [](const std::string& chip, const std::optional<Numerics>& numerics, bool is_faithful,
         bool is_strict) {
        pyane::emulator::EmulatorOptions options;
        if (!chip.empty()) options.chip = &pyane::chip::find_profile(chip);
        options.numerics = numerics;
        options.is_faithful = is_faithful;
        options.is_strict = is_strict;
        return pyane::emulator::create_device(options);
      },
      py::arg("chip") = "", py::arg("numerics") = py::none(), py::arg("is_faithful") = false,
      py::arg("is_strict") = false, "A new emulator. Raises ConfigError for an unknown chip.");
  engine.def(
      "emulated_ops",
      [] {
        std::vector<std::string> names;
        for (const auto* kernel : pyane::emulator::all_kernels()) names.emplace_back(kernel->op);
        return names;
      },
      "Names of the operations that the emulator evaluates.");
  engine.def(
      "activation_knots",
      [](const std::string& op) {
        const auto* table = pyane::emulator::hardware::find_table(op);
        if (table == nullptr) {
          throw pyane::ConfigError("activation_knots: '" + op + "' has no table");
        }
        return table->knots();
      },
      py::arg("op"), "The 33 knots of gelu, sigmoid, silu or tanh in hardware arithmetic.");
}
