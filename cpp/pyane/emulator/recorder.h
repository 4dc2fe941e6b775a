#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "pyane/base/thread_pool.h"
#include "pyane/emulator/plan.h"
#include "pyane/engine/profile.h"

namespace pyane::emulator {

/// Times the steps that its thread runs while it is in scope, those of blocks included.
class Recorder final : public PoolObserver {
 public:
  Recorder();
  ~Recorder() override;
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// Of this thread; nullptr: nobody records.
  static Recorder* active() { return active_; }

  /// Runs run(), which runs `step` of `plan`.
  template <typename Run>
  void step(const Plan& plan, const PlannedStep& step, const Run& run) {
    const std::size_t outer = current_;
    const std::size_t index = index_of(plan, step.group, outer);
    current_ = index;
    // A group's steps follow each other.
    const bool is_first = &step == plan.steps.data() || (&step - 1)->group != step.group;
    profile_.groups[index].runs += is_first ? 1 : 0;
    const std::int64_t begin = now();
    run();
    const std::int64_t end = now();
    current_ = outer;
    add(index, begin, end);
  }

  /// A thread of the pool worked; called by that thread.
  void worked(int thread, Clock::time_point begin, Clock::time_point end) override;

  /// What was recorded, which ends here.
  Profile finish();

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  std::int64_t since_start(Clock::time_point time) const;
  std::int64_t now() const { return since_start(Clock::now()); }
  std::size_t index_of(const Plan& plan, std::size_t group, std::size_t parent);
  void add(std::size_t group, std::int64_t begin, std::int64_t end);

  static thread_local constinit Recorder* active_;

  Clock::time_point start_;
  Profile profile_;
  std::unordered_map<const Plan*, std::vector<std::size_t>> indices_;  ///< By group of the plan.
  std::size_t current_ = kNone;
  std::mutex mutex_;  ///< Of the spans: workers add some.
};

}  // namespace pyane::emulator
