#pragma once

#include <atomic>
#include <cstdint>

#include "fake_ane.h"

namespace fake_ane {

/// Counts down with every call; true on the call it was set for.
class Fault {
 public:
  void set(std::int64_t n) { left_ = n; }
  bool due() {
    std::int64_t left = left_.load();
    while (left > 0 && !left_.compare_exchange_weak(left, left - 1)) {
    }
    return left == 1;
  }

 private:
  std::atomic<std::int64_t> left_{0};
};

/// Everything the stand-in counts, and every fault it has been told to show.
struct State {
  std::atomic<std::int64_t> live_objects{0};
  std::atomic<std::int64_t> loaded_programs{0};
  std::atomic<std::int64_t> compiles{0};
  std::atomic<std::int64_t> loads{0};
  std::atomic<std::int64_t> evaluations{0};
  std::atomic<std::int64_t> evaluate_calls{0};
  std::atomic<std::int64_t> overlaps{0};
  std::atomic<std::int64_t> last_qos{-1};

  std::atomic<std::int64_t> compile_limit{0};
  std::atomic<std::int64_t> load_limit{0};
  Fault descriptor_fault;
  Fault compile_fault;
  Fault load_fault;
  Fault request_fault;
  Fault evaluate_fault;
  Fault unload_fault;
  Fault evaluate_exception;
  std::atomic<bool> hides_errors{false};
  std::atomic<std::int64_t> compile_delay_ms{0};
  std::atomic<std::int64_t> evaluate_delay_ms{0};
  std::atomic<std::int32_t> attributes{kFakeAneAttributesFull};
  std::atomic<bool> has_ane{true};
  std::atomic<bool> is_virtual_machine{false};
};

State& state();

/// Sleeps when the test asked for it.
void delay(std::int64_t milliseconds);

}  // namespace fake_ane
