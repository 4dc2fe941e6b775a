#pragma once

#include <chrono>

// How long work on a thread can be stopped from outside, by Ctrl-C above all. Whoever starts the
// work installs a check, which throws when it should end; the work calls `check_interrupt` wherever
// it may be left: between the steps of a plan, and between the parts of a parallel_for.

namespace pyane {

/// Installs a check for this thread while in scope, one at a time.
class InterruptScope {
 public:
  using Check = void (*)();  ///< Throws to stop.
  explicit InterruptScope(Check check) : outer_(check_) {
    check_ = check;
    last_ = std::chrono::steady_clock::now();
  }
  ~InterruptScope() { check_ = outer_; }
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

 private:
  friend void check_interrupt();
  static constexpr auto kInterval = std::chrono::milliseconds(50);
  static void poll();

  static thread_local constinit Check check_;
  static thread_local constinit std::chrono::steady_clock::time_point last_;
  Check outer_;
};

/// Calls the thread's check, if it has one and some 50 ms have passed since the last time.
inline void check_interrupt() {
  if (InterruptScope::check_ != nullptr) InterruptScope::poll();
}

}  // namespace pyane
