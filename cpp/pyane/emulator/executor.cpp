#include "pyane/emulator/executor.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <new>
#include <utility>

#include "pyane/base/error.h"
#include "pyane/base/interrupt.h"
#include "pyane/emulator/recorder.h"

namespace pyane::emulator {
namespace {

constexpr std::size_t kAlignment = 64;
/// Of memory that is larger: whole pages of the larger kind, where the system has them.
constexpr std::size_t kHugePage = std::size_t{1} << 21;

}  // namespace

void ArenaPool::Lease::Free::operator()(std::byte* memory) const {
  ::operator delete(memory, std::align_val_t(alignment));
}

ArenaPool::Lease::Lease(ArenaPool& pool, std::size_t n_bytes) : pool_(pool) {
  if (n_bytes == 0) return;
  std::size_t size = 0;
  {
    const std::lock_guard lock(pool_.mutex_);
    if (!pool_.free_.empty()) {
      arena_ = std::move(pool_.free_.back());
      pool_.free_.pop_back();
      return;
    }
    size = std::max(n_bytes, pool_.largest_);
  }
  arena_ = allocate(size);
}

ArenaPool::Lease::~Lease() {
  if (arena_.n_bytes == 0) return;
  const std::lock_guard lock(pool_.mutex_);
  // A larger kernel may have come in the meantime; its evaluations must not find this one.
  if (arena_.n_bytes >= pool_.largest_) pool_.free_.push_back(std::move(arena_));
}

ArenaPool::Arena ArenaPool::allocate(std::size_t n_bytes) {
  Arena arena;
  const std::size_t alignment = n_bytes >= kHugePage ? kHugePage : kAlignment;
  n_bytes = (n_bytes + alignment - 1) / alignment * alignment;
  arena.memory = {static_cast<std::byte*>(::operator new(n_bytes, std::align_val_t(alignment))),
                  Lease::Free(alignment)};
#if defined(__linux__)
  // Fewer faults when it is first touched, fewer misses of the translation caches after. Where the
  // system does not want to, pages of the usual size do.
  if (alignment == kHugePage)
    static_cast<void>(madvise(arena.memory.get(), n_bytes, MADV_HUGEPAGE));
#endif
  arena.n_bytes = n_bytes;
  return arena;
}

void ArenaPool::reserve(std::size_t n_bytes) {
  const std::lock_guard lock(mutex_);
  if (n_bytes <= largest_) return;
  try {
    Arena arena = allocate(n_bytes);
    free_.clear();
    free_.push_back(std::move(arena));
    free_.reserve(16);
  } catch (const std::bad_alloc&) {
    throw CompileError("the emulator needs " + std::to_string(n_bytes) +
                       " bytes for intermediate tensors, which the system does not have");
  }
  largest_ = n_bytes;
}

void run_steps(const Plan& plan, std::span<const TensorView> views, std::byte* arena) {
  Recorder* const recorder = Recorder::active();
  for (const PlannedStep& step : plan.steps) {
    const auto run = [&] {
      step.step->run({.inputs = views.subspan(step.first_tensor, step.n_inputs),
                      .outputs = views.subspan(step.first_tensor + step.n_inputs, step.n_outputs),
                      .scratch = arena == nullptr ? nullptr : arena + step.scratch_offset});
    };
    check_interrupt();
    if (recorder == nullptr) {
      run();
    } else {
      recorder->step(plan, step, run);
    }
  }
}

Execution::Execution(std::shared_ptr<const Plan> plan, std::vector<std::byte*> inputs,
                     std::vector<std::byte*> outputs, std::vector<std::byte*> states)
    : plan_(std::move(plan)),
      inputs_(std::move(inputs)),
      outputs_(std::move(outputs)),
      states_(std::move(states)) {
  views_.resize(plan_->tensors.size());
  for (std::size_t i = 0; i < views_.size(); ++i) {
    static_cast<TensorLayout&>(views_[i]) = plan_->tensors[i].layout;
  }
}

void Execution::resolve(std::byte* arena) {
  const auto base_of = [&](const Address& address) {
    switch (address.base) {
      case Address::Base::kInput:
        return inputs_[address.index];
      case Address::Base::kOutput:
        return outputs_[address.index];
      case Address::Base::kState:
        return states_[address.index];
      default:
        return arena;
    }
  };
  for (std::size_t i = 0; i < views_.size(); ++i) {
    views_[i].data = emulator::resolve(plan_->tensors[i].address, base_of);
  }
  arena_ = arena;
  is_resolved_ = true;
}

void Execution::run(std::byte* arena) {
  if (!is_resolved_ || arena != arena_) resolve(arena);
  run_steps(*plan_, views_, arena);
}

}  // namespace pyane::emulator
