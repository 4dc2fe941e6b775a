#pragma once

#include <cstddef>
#include <optional>
#include <unordered_map>
#include <vector>

#include "pyane/emulator/graph.h"
#include "pyane/emulator/plan_memory.h"

namespace pyane::emulator {

/// Where the values of a unit are, as far as the planner has come.
class Places {
 public:
  /// @param uses_homes  Producers write into the memory of later values where they can.
  Places(const Graph& graph, PlanMemory& memory, bool uses_homes);

  /// Where `value` can be read: it has been made, or is a constant.
  Place of(ValueId value);
  /// Where the producer of `value` writes it.
  Place target_of(ValueId value);
  void set(ValueId value, const Place& place);
  void set_output(ValueId value, const Place& place) { outputs_[value] = place; }
  const Place& output(ValueId value) const { return outputs_.at(value); }

  /// Whether nobody has chosen yet where `value` is, and no surface or home waits for it.
  bool is_free(ValueId value) const;
  /// Whether `value` was made where operand `input` of `node` belongs.
  bool is_at_home(ValueId value, std::size_t node, std::size_t input) const;
  bool is_made_at(ValueId value, const Place& target) const;

  /// Values whose place is in `buffer`, of those watched.
  void watch(std::size_t buffer) { watched_[buffer]; }
  const std::vector<ValueId>& inside(std::size_t buffer) const { return watched_.at(buffer); }

 private:
  void settle(ValueId value);
  std::optional<Place> inside_home(ValueId value, const Home& home) const;

  const Graph& graph_;
  PlanMemory& memory_;
  std::unordered_map<ValueId, Home> homes_;
  std::unordered_map<ValueId, bool> at_home_;
  std::unordered_map<ValueId, Place> places_;
  std::unordered_map<ValueId, Place> outputs_;
  std::unordered_map<std::size_t, std::vector<ValueId>> watched_;
};

}  // namespace pyane::emulator
