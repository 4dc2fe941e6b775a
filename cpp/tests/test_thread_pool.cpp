#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.h"
#include "pyane/base/error.h"
#include "pyane/base/interrupt.h"
#include "pyane/base/thread_pool.h"

using pyane::parallel_for;

namespace {

void test_every_index_once() {
  for (const int threads : {1, 2, 4, 3}) {
    pyane::set_num_threads(threads);
    for (const std::size_t n : {0U, 1U, 2U, 3U, 17U, 1000U}) {
      std::vector<int> seen(n, 0);  // Not atomic: each index belongs to one thread.
      parallel_for(n, [&](std::size_t i) { ++seen[i]; });
      for (const int count : seen) CHECK(count == 1);
    }
  }
}

void test_exceptions() {
  pyane::set_num_threads(4);
  for (int round = 0; round < 50; ++round) {
    CHECK_THROWS(std::runtime_error, parallel_for(100, [](std::size_t i) {
                   if (i % 7 == 3) throw std::runtime_error("body");
                 }));
    std::atomic<int> n{0};
    parallel_for(100, [&](std::size_t) { ++n; });
    CHECK(n == 100);
  }
  CHECK_THROWS(pyane::ShapeError, pyane::set_num_threads(0));
}

void test_nesting_and_concurrent_callers() {
  pyane::set_num_threads(4);
  std::atomic<int> n{0};
  parallel_for(8, [&](std::size_t) { parallel_for(8, [&](std::size_t) { ++n; }); });
  CHECK(n == 64);
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) parallel_for(16, [&](std::size_t) { ++n; });
    });
  }
  // Resizing while others use the pool.
  for (int round = 0; round < 20; ++round) {
    pyane::set_num_threads(1 + round % 4);
    parallel_for(4, [&](std::size_t) { ++n; });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(n == 64 + 4 * 200 * 16 + 20 * 4);
}

/// A few microseconds stay with the caller, other work is shared; none is left out or done twice.
void test_work() {
  using std::chrono::microseconds;
  pyane::set_num_threads(4);
  const std::thread::id caller = std::this_thread::get_id();
  for (const auto work : {microseconds(0), microseconds(3), microseconds(50), microseconds(5000)}) {
    for (int round = 0; round < 30; ++round) {
      std::vector<int> seen(64, 0);
      parallel_for(seen.size(), work, [&](std::size_t i) {
        ++seen[i];
        if (work < microseconds(8)) CHECK(std::this_thread::get_id() == caller);
      });
      for (const int count : seen) CHECK(count == 1);
    }
  }
}

/// Calls too short to wake anybody do so together.
void test_short_calls_wake() {
  pyane::set_num_threads(2);
  parallel_for(2, [](std::size_t) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // The worker is asleep.
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<bool> is_helped{false};
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!is_helped && std::chrono::steady_clock::now() < end) {
    parallel_for(8, std::chrono::microseconds(40), [&](std::size_t) {
      const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(5);
      while (std::chrono::steady_clock::now() < until) continue;
      if (std::this_thread::get_id() != caller) is_helped = true;
    });
  }
  CHECK(is_helped);
}

// Workers that sleep must wake up.
void test_sleep() {
  pyane::set_num_threads(4);
  std::atomic<int> n{0};
  for (int round = 0; round < 20; ++round) {
    parallel_for(64, [&](std::size_t) { ++n; });
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(n == 20 * 64);
}

/// Of one caller's work only, by every thread at most once per call, and ended before it returns.
void test_observer() {
  struct Count final : pyane::PoolObserver {
    void worked(int thread, Clock::time_point begin, Clock::time_point end) override {
      CHECK(0 <= thread && thread < 3);
      CHECK(begin <= end);
      ++n;
    }
    std::atomic<int> n{0};
  };
  pyane::set_num_threads(3);
  Count count;
  pyane::observe_pool(&count);
  std::thread other([] {
    for (int round = 0; round < 50; ++round) parallel_for(8, [](std::size_t) {});
  });
  other.join();
  CHECK(count.n == 0);
  for (int round = 1; round <= 50; ++round) {
    const int before = count.n;
    parallel_for(8, [](std::size_t) {});
    CHECK(before + 1 <= count.n && count.n <= before + 3);
  }
  pyane::observe_pool(nullptr);
  const int last = count.n;
  parallel_for(8, [](std::size_t) {});
  CHECK(count.n == last);
}

struct Stopped {};

/// The check of the caller stops it and its helpers between two bodies, soon but not at once.
void test_interrupt() {
  for (const int threads : {1, 3}) {
    pyane::set_num_threads(threads);
    std::atomic<int> n{0};
    const auto wait = [&](std::size_t) {
      ++n;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    };
    {
      const pyane::InterruptScope scope([] { throw Stopped(); });
      CHECK_THROWS(Stopped, parallel_for(100'000, wait));
      CHECK(n < 1000);
      const pyane::InterruptScope inner(nullptr);  // What is inside may not be stopped.
      parallel_for(30, wait);
    }
    n = 0;
    parallel_for(30, wait);
    CHECK(n == 30);
  }
}

[[maybe_unused]] void test_fork() {
  pyane::set_num_threads(4);
  parallel_for(16, [](std::size_t) {});
  const pid_t child = fork();
  if (child == 0) {
    std::atomic<int> n{0};
    parallel_for(100, [&](std::size_t) { ++n; });
    _exit(n == 100 ? 0 : 1);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

}  // namespace

int main() {
  test_every_index_once();
  test_exceptions();
  test_nesting_and_concurrent_callers();
  test_work();
  test_short_calls_wake();
  test_sleep();
  test_observer();
  test_interrupt();
#if !defined(__SANITIZE_THREAD__)  // TSan does not support threads after a fork.
  test_fork();
#endif
  return 0;
}
