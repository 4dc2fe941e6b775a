#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "pyane/emulator/plan.h"

namespace pyane::emulator {

/// Memory for intermediate tensors, lent to one evaluation at a time. Shared by all kernels of a
/// device, so that kernels evaluated in turn use the same, warm memory. Thread-safe.
class ArenaPool {
 public:
  ArenaPool() = default;
  ArenaPool(const ArenaPool&) = delete;
  ArenaPool& operator=(const ArenaPool&) = delete;

  /// Gives the memory back when it goes out of scope.
  class Lease {
   public:
    Lease(ArenaPool& pool, std::size_t n_bytes);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    std::byte* data() const { return arena_.memory.get(); }

   private:
    friend class ArenaPool;
    struct Free {
      std::size_t alignment;
      Free() : Free(64) {}
      explicit Free(std::size_t bytes) : alignment(bytes) {}
      void operator()(std::byte* memory) const;
    };
    struct Arena {
      std::unique_ptr<std::byte, Free> memory;
      std::size_t n_bytes = 0;
    };
    ArenaPool& pool_;
    Arena arena_;
  };

  /// Makes sure that one evaluation at a time needs no allocation. @throws CompileError when there
  /// is no memory.
  void reserve(std::size_t n_bytes);

 private:
  using Arena = Lease::Arena;
  static Arena allocate(std::size_t n_bytes);

  std::mutex mutex_;
  std::vector<Arena> free_;  ///< All of them at least `largest_`.
  std::size_t largest_ = 0;
};

/// Memory of a tensor. `base_of` gives that of everything but constants.
template <typename BaseOf>
std::byte* resolve(const Address& address, const BaseOf& base_of) {
  std::byte* const base = address.base == Address::Base::kConstant
                              ? const_cast<std::byte*>(address.constant)  // Inputs are only read.
                              : base_of(address);
  return base == nullptr ? nullptr : base + address.offset;
}

/// Evaluates all steps of a plan whose tensors are `views`.
void run_steps(const Plan& plan, std::span<const TensorView> views, std::byte* arena);

/// A plan with its surfaces: addresses are worked out once per request, and once more when the
/// arena has moved.
class Execution {
 public:
  Execution(std::shared_ptr<const Plan> plan, std::vector<std::byte*> inputs,
            std::vector<std::byte*> outputs, std::vector<std::byte*> states = {});

  /// Evaluates all steps. Allocates nothing. Not thread-safe.
  /// @throws EvaluateError
  void run(std::byte* arena);

 private:
  void resolve(std::byte* arena);

  std::shared_ptr<const Plan> plan_;
  std::vector<std::byte*> inputs_;
  std::vector<std::byte*> outputs_;
  std::vector<std::byte*> states_;
  std::vector<TensorView> views_;
  std::byte* arena_ = nullptr;
  bool is_resolved_ = false;
};

}  // namespace pyane::emulator
