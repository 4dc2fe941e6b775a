#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.h"
#include "pyane/base/error.h"
#include "pyane/base/half.h"
#include "pyane/base/thread_pool.h"
#include "pyane/train/weight_gradient_queue.h"

// Orders, errors, limits and lifetimes of the queue, for the sanitizers. Its numbers are tested in
// tests/train/test_weight_gradient_queue.py.

namespace {

using pyane::OrderedTaskQueue;
using pyane::WeightGradient;
using pyane::WeightGradientQueue;

constexpr OrderedTaskQueue::Limits kLimits;

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

/// Tasks on the same memory run in order, one at a time; others do not disturb them.
void test_order(int n_workers) {
  std::vector<int> seen_a;  // not atomic: the queue must order all access
  std::vector<int> seen_b;
  std::atomic<int> others = 0;
  OrderedTaskQueue queue(n_workers, kLimits);
  char memory[4] = {};
  for (int i = 0; i < 200; ++i) {
    queue.submit(
        {.target = memory, .target_bytes = 2, .run = [&, i](std::size_t) { seen_a.push_back(i); }});
    // Overlaps with both.
    queue.submit({.target = memory + 1, .target_bytes = 2, .run = [&, i](std::size_t) {
                    seen_a.push_back(1000 + i);
                    seen_b.push_back(1000 + i);
                  }});
    queue.submit({.target = memory + 2, .target_bytes = 1, .run = [&, i](std::size_t) {
                    seen_b.push_back(i);
                  }});
    queue.submit({.target = memory + 3, .target_bytes = 1, .n_parts = 3, .run = [&](std::size_t) {
                    ++others;
                  }});
  }
  queue.wait();
  CHECK(others == 600);
  CHECK(seen_a.size() == 400 && seen_b.size() == 400);
  for (int i = 0; i < 200; ++i) {
    const auto at = static_cast<std::size_t>(2 * i);
    CHECK(seen_a[at] == i && seen_a[at + 1] == 1000 + i);
    CHECK(seen_b[at] == 1000 + i && seen_b[at + 1] == i);
  }
}

/// The first error is kept for wait(), what has not begun is dropped, and the queue goes on.
void test_error(int n_workers) {
  OrderedTaskQueue queue(n_workers, kLimits);
  char memory[2] = {};
  std::atomic<int> ran = 0;
  const auto count = [&](std::size_t) { ++ran; };
  for (int round = 0; round < 20; ++round) {
    ran = 0;
    queue.submit({.target = memory, .target_bytes = 1, .n_parts = 2, .run = [&](std::size_t) {
                    sleep_ms(1);
                    throw std::runtime_error("first");
                  }});
    for (int i = 0; i < 5; ++i) {
      queue.submit({.target = memory, .target_bytes = 1, .run = count});
    }
    CHECK_THROWS(std::runtime_error, queue.wait());
    CHECK(ran == 0);
    queue.wait();  // said once
    queue.submit({.target = memory, .target_bytes = 1, .run = count});
    queue.wait();
    CHECK(ran == 1);
  }
}

/// cancel() forgets the error and what has not begun.
void test_cancel() {
  OrderedTaskQueue queue(1, kLimits);
  char memory[1] = {};
  std::atomic<int> ran = 0;
  std::atomic<bool> began = false;
  queue.submit({.target = memory, .target_bytes = 1, .run = [&](std::size_t) {
                  began = true;
                  sleep_ms(5);
                  throw std::runtime_error("forgotten");
                }});
  queue.submit({.target = memory, .target_bytes = 1, .run = [&](std::size_t) { ++ran; }});
  while (!began) std::this_thread::yield();
  queue.cancel();
  CHECK(ran == 0);
  queue.wait();
  CHECK(queue.oldest_pending() == 2);
}

/// Never more bytes or tasks held than the limits say, but for a task that is too large alone.
void test_back_pressure() {
  std::atomic<std::size_t> held = 0;
  std::atomic<std::size_t> most = 0;
  struct Holder {
    Holder(std::atomic<std::size_t>& held_, std::atomic<std::size_t>& most_, std::size_t n_)
        : held(held_), n(n_) {
      const std::size_t now = held += n;
      std::size_t before = most_;
      while (before < now && !most_.compare_exchange_weak(before, now)) {
      }
    }
    ~Holder() { held -= n; }
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;
    std::atomic<std::size_t>& held;
    std::size_t n;
  };
  OrderedTaskQueue queue(2, {.held_bytes = 100, .tasks = 4});
  char memory[8] = {};
  for (std::size_t i = 0; i < 300; ++i) {
    const std::size_t n = i % 50 == 7 ? 150 : 30;
    queue.submit({.target = memory + i % 8,
                  .target_bytes = 1,
                  .run = [&, n](std::size_t) { const Holder holder(held, most, n); },
                  .held_bytes = n});
  }
  queue.wait();
  CHECK(held == 0);
  CHECK(most <= 150);
}

void test_several_submitters() {
  OrderedTaskQueue queue(2, {.held_bytes = 64, .tasks = 8});
  std::vector<int> sums(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        queue.submit({.target = &sums[t],
                      .target_bytes = sizeof(int),
                      .run = [&, t](std::size_t) { ++sums[t]; },
                      .held_bytes = 20});
        if (i % 10 == 0) queue.wait();
      }
      queue.wait();
      CHECK(sums[t] == 100);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

/// Tasks that have not begun are dropped with what they hold; the destructor waits for the rest.
void test_destruction() {
  for (int round = 0; round < 20; ++round) {
    const auto held = std::make_shared<int>(0);
    char memory[1] = {};
    {
      OrderedTaskQueue queue(round % 3 + 1, kLimits);
      for (int i = 0; i < 50; ++i) {
        queue.submit(
            {.target = memory, .target_bytes = 1, .run = [held](std::size_t) { ++*held; }});
      }
    }
    CHECK(held.use_count() == 1);
  }
}

struct Arrays {
  std::vector<float> dw, dy, x;
  std::vector<pyane::half_bits> half;
};

WeightGradient job_on(Arrays& arrays, std::size_t m, std::size_t k, std::size_t s) {
  return {.dw = arrays.dw,
          .rows = m,
          .columns = k,
          .batch = 1,
          .positions = s,
          .dy = {.data = arrays.dy.data(), .batch_stride = m * s, .row_stride = s, .hold = true},
          .x = {.data = arrays.half.data(),
                .dtype = pyane::DType::kFp16,
                .batch_stride = k * s,
                .row_stride = s}};
}

/// Buffers are reused, submission overlaps with the workers, and sums are complete after wait().
void test_weight_gradients() {
  constexpr std::size_t kM = 300;
  constexpr std::size_t kK = 17;
  constexpr std::size_t kS = 23;
  Arrays arrays = {.dw = std::vector<float>(kM * kK),
                   .dy = std::vector<float>(kM * kS, 0.5F),
                   .x = {},
                   .half = std::vector<pyane::half_bits>(kK * kS, 0x3C00)};
  WeightGradientQueue queue(2, {.held_bytes = 8000, .tasks = 10});
  for (int i = 0; i < 100; ++i) {
    queue.submit(job_on(arrays, kM, kK, kS));
    std::fill(arrays.half.begin(), arrays.half.end(), pyane::half_bits{0x7E00});  // NaN
    std::fill(arrays.half.begin(), arrays.half.end(), pyane::half_bits{0x3C00});
  }
  queue.wait();
  for (const float value : arrays.dw) CHECK(value == 100 * 0.5F * kS);

  WeightGradient wrong = job_on(arrays, kM, kK, kS);
  wrong.x.row_stride = kS - 1;
  CHECK_THROWS(pyane::ShapeError, queue.submit(wrong));
  wrong = job_on(arrays, kM, kK, kS);
  wrong.x.dtype = pyane::DType::kBf16;
  CHECK_THROWS(pyane::ShapeError, queue.submit(wrong));
  wrong = job_on(arrays, kM, kK, kS);
  wrong.rows = std::size_t{1} << 62;
  CHECK_THROWS(pyane::ShapeError, queue.submit(wrong));
  wrong = job_on(arrays, kM, kK, kS);
  wrong.batch = std::size_t{1} << 62;
  CHECK_THROWS(pyane::ShapeError, queue.submit(wrong));
}

/// The child cannot use the parent's queue, can destroy it, and can make its own.
[[maybe_unused]] void test_fork() {
  auto* queue = new OrderedTaskQueue(2, kLimits);
  char memory[1] = {};
  std::atomic<int> ran = 0;
  for (int i = 0; i < 50; ++i) {
    queue->submit({.target = memory, .target_bytes = 1, .run = [&](std::size_t) { ++ran; }});
  }
  const pid_t child = fork();
  if (child == 0) {
    CHECK_THROWS(pyane::Error, queue->wait());
    CHECK_THROWS(pyane::Error, queue->submit({}));
    delete queue;
    int mine = 0;
    OrderedTaskQueue own(0, kLimits);
    own.submit({.target = &mine, .target_bytes = 4, .run = [&](std::size_t) { ++mine; }});
    own.wait();
    _exit(mine == 1 ? 0 : 1);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  queue->wait();
  CHECK(ran == 50);
  delete queue;
}

}  // namespace

int main() {
  pyane::set_num_threads(3);
  for (const int n_workers : {0, 1, 4}) {
    test_order(n_workers);
    test_error(n_workers);
  }
  test_cancel();
  test_back_pressure();
  test_several_submitters();
  test_destruction();
  test_weight_gradients();
#if !defined(__SANITIZE_THREAD__)  // TSan does not support threads after a fork.
  test_fork();
#endif
  // Not destroyed: the exit handler must stop it while its tasks run.
  static char memory[1];
  static auto* const leaked = new OrderedTaskQueue(2, kLimits);
  for (int i = 0; i < 20; ++i) {
    leaked->submit({.target = memory, .target_bytes = 1, .run = [](std::size_t) { sleep_ms(1); }});
  }
  return 0;
}
