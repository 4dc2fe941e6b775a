#include "pyane/engine/binding.h"

#include <algorithm>

#include "pyane/base/error.h"

namespace pyane {
namespace {

void check(const char* kind, const std::vector<TensorSpec>& specs,
           const std::vector<std::shared_ptr<Surface>>& surfaces) {
  if (surfaces.size() != specs.size()) {
    throw ShapeError(std::string("bind: needs ") + std::to_string(specs.size()) + " " + kind +
                     " surfaces, got " + std::to_string(surfaces.size()));
  }
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (surfaces[i] == nullptr || surfaces[i]->n_bytes() < specs[i].n_bytes) {
      throw ShapeError(std::string("bind: surface of ") + kind + " '" + specs[i].name +
                       "' must hold " + std::to_string(specs[i].n_bytes) + " bytes, got " +
                       std::to_string(surfaces[i] == nullptr ? 0 : surfaces[i]->n_bytes()));
    }
  }
}

}  // namespace

void check_binding(const std::vector<TensorSpec>& input_specs,
                   const std::vector<TensorSpec>& output_specs,
                   const std::vector<std::shared_ptr<Surface>>& inputs,
                   const std::vector<std::shared_ptr<Surface>>& outputs) {
  check("input", input_specs, inputs);
  check("output", output_specs, outputs);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (outputs[i]->shares_memory_with(*outputs[j])) {
        throw ShapeError("bind: outputs '" + output_specs[j].name + "' and '" +
                         output_specs[i].name +
                         "' must have surfaces of their own, got one for both");
      }
    }
  }
}

void check_states(const std::vector<TensorSpec>& specs,
                  const std::vector<std::shared_ptr<Surface>>& states,
                  const std::vector<std::shared_ptr<Surface>>& inputs,
                  const std::vector<std::shared_ptr<Surface>>& outputs) {
  if (states.empty()) return;
  check("state", specs, states);
  for (std::size_t i = 0; i < states.size(); ++i) {
    const auto is_shared = [&](const std::shared_ptr<Surface>& other) {
      return other->shares_memory_with(*states[i]);
    };
    const auto before = states.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::any_of(states.begin(), before, is_shared) ||
        std::any_of(inputs.begin(), inputs.end(), is_shared) ||
        std::any_of(outputs.begin(), outputs.end(), is_shared)) {
      throw ShapeError("bind: state '" + specs[i].name +
                       "' must have a surface of its own, got one that is bound elsewhere, too");
    }
  }
}

}  // namespace pyane
