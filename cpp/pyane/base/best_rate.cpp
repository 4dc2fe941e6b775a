#include "pyane/base/best_rate.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/base/spin.h"

namespace pyane {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array<double, 5> kLengths = {0.25e-3, 0.5e-3, 1e-3, 2e-3, 4e-3};
// Shorter runs say how long a pass takes, but nothing that the clock's own time could not change.
constexpr double kLeastLength = 0.1e-3;
constexpr double kMostPasses = 1 << 24;
// Threads that run so much of their time at once share what there is to share.
constexpr double kTogether = 0.8;

// Spins, so that nobody has to be woken; briefly, as there may be fewer cores than threads.
class Barrier {
 public:
  explicit Barrier(int n) : n_(n) {}

  void wait() {
    const int round = round_.load();
    if (n_arrived_.fetch_add(1) + 1 == n_) {
      n_arrived_.store(0);
      round_.store(round + 1);
      return;
    }
    for (int tries = 0; round_.load() == round; ++tries) {
      relax();
      if (tries >= kSpins) std::this_thread::yield();
    }
  }

 private:
  static constexpr int kSpins = 1000;  // Some tens of microseconds.
  const int n_;
  std::atomic<int> n_arrived_{0};
  std::atomic<int> round_{0};
};

}  // namespace

void BestRate::add(std::span<const RunTime> times, double elapsed) {
  double first = times[0].begin;
  double last_begin = times[0].begin;
  double first_end = times[0].end;
  double last = times[0].end;
  double longest = 0;
  double shortest = times[0].end - times[0].begin;
  double passes_a_second = 0;
  for (const RunTime& time : times) {
    const double seconds = std::max(time.end - time.begin, 1e-9);
    first = std::min(first, time.begin);
    last_begin = std::max(last_begin, time.begin);
    first_end = std::min(first_end, time.end);
    last = std::max(last, time.end);
    longest = std::max(longest, seconds);
    shortest = std::min(shortest, seconds);
    passes_a_second += static_cast<double>(passes_) / seconds;
  }
  const bool is_together = first_end - last_begin >= kTogether * longest;
  if (!is_together) {
    // Some ran while others did not: together they have done it in all of that time.
    const double seconds = std::max(last - first, 1e-9);
    passes_a_second = static_cast<double>(passes_) * static_cast<double>(times.size()) / seconds;
  }
  elapsed_ = elapsed;
  if (longest >= kLeastLength) {
    best_ = std::max(best_, units_ * passes_a_second);
    ++n_runs_;
  }
  const double pass = std::max(shortest, 1e-9) / static_cast<double>(passes_);
  pass_seconds_ = pass_seconds_ == 0 ? pass : std::min(pass_seconds_, pass);
  // Who begins late matters less in a long run.
  const std::size_t turn = static_cast<std::size_t>(n_runs_) % kLengths.size();
  const double wanted = is_together ? kLengths[turn] : kLengths.back();
  passes_ = std::llround(std::clamp(wanted / pass_seconds_, 1.0, kMostPasses));
}

double best_rate(int threads, double units, double budget, const std::function<void(int)>& prepare,
                 const std::function<void(int, std::int64_t)>& body) {
  if (threads < 1) {
    throw ShapeError("measure: threads must be at least 1, got " + std::to_string(threads));
  }
  BestRate best(units, budget);
  std::vector<RunTime> times(static_cast<std::size_t>(threads));
  Barrier barrier(threads);
  std::atomic<bool> is_complete = true;  // All threads are there.
  std::atomic<bool> is_open = false;
  std::mutex failed;
  std::exception_ptr failure;
  bool is_done = false;  // Written by thread 0 while the others wait for it.
  std::int64_t passes = best.passes();
  const Clock::time_point begin = Clock::now();
  const auto now = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  double began = 0;
  const auto run = [&](int thread) {
    while (!is_open.load()) std::this_thread::yield();
    if (!is_complete.load()) return;
    try {
      prepare(thread);
    } catch (...) {
      const std::lock_guard lock(failed);
      failure = std::current_exception();
    }
    barrier.wait();
    if (failure != nullptr) return;
    if (thread == 0) began = now();
    for (;;) {
      barrier.wait();
      if (is_done) return;
      RunTime& time = times[static_cast<std::size_t>(thread)];
      time.begin = now();
      body(thread, passes);
      time.end = now();
      barrier.wait();
      if (thread != 0) continue;
      best.add(times, now() - began);
      is_done = best.is_done();
      passes = best.passes();
    }
  };
  std::vector<std::thread> others;
  others.reserve(times.size());
  try {
    for (int thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
  } catch (const std::system_error&) {
    is_complete.store(false);
  }
  is_open.store(true);
  run(0);
  for (std::thread& other : others) other.join();
  if (!is_complete.load()) {
    throw Error("measure: the system has no more than " + std::to_string(others.size() + 1) +
                " threads, " + std::to_string(threads) + " are needed");
  }
  if (failure != nullptr) std::rethrow_exception(failure);
  return best.rate();
}

}  // namespace pyane
