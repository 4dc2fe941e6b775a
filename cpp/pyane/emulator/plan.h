#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/tensor_view.h"
#include "pyane/engine/device.h"

namespace pyane::emulator {

/// Where a tensor's first element is: a base address, known at evaluation, plus an offset.
struct Address {
  enum class Base : std::uint8_t { kArena, kInput, kOutput, kState, kConstant };
  Base base = Base::kArena;
  std::uint32_t index = 0;              ///< kInput, kOutput, kState: which surface.
  const std::byte* constant = nullptr;  ///< kConstant.
  std::int64_t offset = 0;              ///< In bytes.
};

/// One tensor of one step.
struct PlannedTensor {
  TensorLayout layout;  ///< rank -1: absent.
  Address address;
};

/// A step and which of Plan::tensors are its inputs (first) and outputs (after them).
struct PlannedStep {
  std::unique_ptr<Step> step;
  std::size_t first_tensor = 0;
  std::size_t n_inputs = 0;
  std::size_t n_outputs = 0;
  std::size_t scratch_offset = 0;  ///< In the arena, in bytes.
  std::size_t group = 0;           ///< Of Plan::groups.
};

/// The operations that a step or several in a row evaluate: for profiles.
struct PlannedGroup {
  std::vector<std::string_view> operations;  ///< Names in the registry; none: copies.
  std::string output;                        ///< Name of the first value made.
  int line = 0;
  std::optional<double> flops;
  bool is_control = false;  ///< Steps of its blocks' plans are groups of their own.
};

/// A compiled function: steps in order, everything laid out. Immutable, shared by all requests of a
/// kernel.
struct Plan {
  std::vector<TensorSpec> inputs;   ///< By name.
  std::vector<TensorSpec> outputs;  ///< By name.
  std::vector<TensorSpec> states;   ///< By name.
  std::vector<PlannedTensor> tensors;
  std::vector<PlannedStep> steps;
  std::vector<PlannedGroup> groups;  ///< The first: copies between surfaces.
  std::size_t arena_bytes = 0;
  std::vector<std::shared_ptr<const void>> owners;  ///< Of the constants' memory.
};

}  // namespace pyane::emulator
