#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/plan.h"

namespace pyane::emulator {

/// Where a value is.
struct Place {
  std::size_t buffer = 0;
  std::int64_t offset = 0;  ///< In elements.
  TensorLayout layout;
};

/// Operands of a step; absent ones have no place.
using Inputs = std::vector<std::optional<Place>>;

/// The memory of a plan under construction and the steps that use it. Buffers are surfaces, states,
/// constants, or parts of the arena; parts whose first and last use do not overlap share memory.
class PlanMemory {
 public:
  /// A surface or state.
  std::size_t add_external(Address::Base base, std::uint32_t index);
  /// Arena memory for one tensor.
  Place fresh(const TensorLayout& layout);
  /// Memory that `owner` keeps alive.
  Place constant(const TensorLayout& layout, const std::byte* data,
                 std::shared_ptr<const void> owner);

  bool is_constant(const Place& place) const {
    return buffers_[place.buffer].base == Address::Base::kConstant;
  }
  /// Data is set for constants.
  TensorView view_of(const Place& place) const;
  /// A constant yet to be written, with copy_now.
  Place new_constant(const TensorLayout& layout);
  /// Copies constants.
  void copy_now(const Place& source, const Place& target);
  /// Of a constant's memory.
  std::shared_ptr<const void> owner_of(const Place& place) const {
    return buffers_[place.buffer].owner;
  }

  /// Steps from here on are of this group (Plan::groups).
  void begin_group(std::size_t group) { group_ = group; }
  void add_step(std::unique_ptr<Step> step, const Inputs& inputs,
                const std::vector<Place>& outputs);
  void add_copy(const Place& source, const Place& target);
  /// Runs a step of constants now.
  std::vector<Place> fold(const Step& step, const Inputs& inputs,
                          const std::vector<TensorLayout>& outputs);
  /// `place`, or a contiguous copy of it.
  Place contiguous(const Place& place);

  /// Lays out the arena and moves the steps into the plan.
  void finish(Plan& plan);

 private:
  struct Buffer {
    Address::Base base = Address::Base::kArena;
    std::uint32_t index = 0;
    const std::byte* constant = nullptr;
    std::shared_ptr<const void> owner = nullptr;
    std::size_t n_bytes = 0;  ///< Arena.
    std::optional<std::pair<std::size_t, std::size_t>> steps =
        std::nullopt;  ///< First and last that touch it.
  };
  struct PendingStep {
    std::unique_ptr<Step> step;
    Inputs inputs;
    std::vector<Place> outputs;
    std::size_t group;
  };

  std::size_t add_buffer(Buffer buffer);

  std::vector<Buffer> buffers_;
  std::vector<PendingStep> steps_;
  std::size_t group_ = 0;
};

/// An operand that the program does not give.
TensorView absent_tensor();

/// Bytes of a dense tensor.
std::size_t dense_bytes(const TensorLayout& layout);

}  // namespace pyane::emulator
