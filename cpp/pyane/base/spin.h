#pragma once

#include <atomic>
#include <thread>

namespace pyane {

/// Tells the CPU that this thread waits for another one's store.
inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// For a few instructions: sleeping for a mutex and being woken would take longer than they do.
class SpinLock {
 public:
  void lock() {
    for (int tries = 0; is_held_.test_and_set(std::memory_order_acquire); ++tries) {
      if (tries % 64 == 63) std::this_thread::yield();  // Its holder may want this core.
      relax();
    }
  }
  void unlock() { is_held_.clear(std::memory_order_release); }

 private:
  std::atomic_flag is_held_;
};

}  // namespace pyane
