#include "pyane/base/interrupt.h"

namespace pyane {

thread_local constinit InterruptScope::Check InterruptScope::check_ = nullptr;
thread_local constinit std::chrono::steady_clock::time_point InterruptScope::last_{};

void InterruptScope::poll() {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < kInterval) return;
  last_ = now;
  check_();
}

}  // namespace pyane
