#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "pyane/base/best_rate.h"
#include "pyane/base/error.h"

using pyane::BestRate;
using pyane::RunTime;

namespace {

// A machine on which a pass takes `kPass` seconds. No clock: what a run meets is written down.
constexpr double kPass = 1e-6;
constexpr double kBudget = 12e-3;

/// The best rate, of `threads` threads that begin a run one after the other, `delay(run)` apart,
/// and are interrupted for `pause(run)`.
template <typename Delay, typename Pause>
double measured(int threads, const Delay& delay, const Pause& pause) {
  BestRate best(1, kBudget);
  double now = 0;
  int run = 0;
  for (; !best.is_done(); ++run) {
    CHECK(run < 1000);
    std::vector<RunTime> times;
    for (int thread = 0; thread < threads; ++thread) {
      const double begin = now + thread * delay(run);
      const double work = static_cast<double>(best.passes()) * kPass;
      times.push_back({begin, begin + work + (thread == run % threads ? pause(run) : 0)});
    }
    for (const RunTime& time : times) now = std::max(now, time.end);
    best.add(times, now);
  }
  CHECK(now < 20 * kBudget);             // Whatever happens, it ends soon.
  return best.rate() * kPass / threads;  // 1: exact.
}

void test_a_machine_of_our_own() {
  const auto none = [](int) { return 0.0; };
  for (const int threads : {1, 4}) CHECK(std::abs(measured(threads, none, none) - 1) < 1e-6);
}

void test_the_first_runs_are_disturbed() {
  const auto none = [](int) { return 0.0; };
  const auto pause = [](int run) { return run < 2 ? 5e-3 : 0; };
  CHECK(std::abs(measured(1, none, pause) - 1) < 1e-6);
  CHECK(std::abs(measured(4, pause, none) - 1) < 1e-6);
}

// Runs that look long because threads wait for a core: their work must grow all the same. With
// runs as short as they were then, this came to 0.0001.
void test_threads_always_start_late() {
  const auto none = [](int) { return 0.0; };
  const double rate = measured(2, [](int) { return 4e-3; }, none);
  CHECK(rate > 0.3);
  CHECK(rate <= 1);
}

void test_every_other_run_is_interrupted() {
  const auto none = [](int) { return 0.0; };
  const double rate = measured(4, none, [](int run) { return run % 2 == 0 ? 3e-3 : 0; });
  CHECK(std::abs(rate - 1) < 1e-6);
}

// Threads that take turns on one core are not several times as fast as one.
void test_turns_are_not_added_up() {
  BestRate best(1, kBudget);
  double now = 0;
  while (!best.is_done()) {
    const double work = static_cast<double>(best.passes()) * kPass;
    best.add(std::vector<RunTime>{{now, now + work}, {now + work, now + 2 * work}}, now + 2 * work);
    now += 2 * work;
  }
  CHECK(std::abs(best.rate() * kPass - 1) < 1e-6);
}

void test_threads() {
  for (const int threads : {1, 3}) {
    std::vector<int> prepared(static_cast<std::size_t>(threads), 0);
    std::vector<std::int64_t> done(static_cast<std::size_t>(threads), 0);
    const double rate = pyane::best_rate(
        threads, 1, 1e-3, [&](int thread) { ++prepared[static_cast<std::size_t>(thread)]; },
        [&](int thread, std::int64_t passes) {
          std::atomic<std::int64_t> work = 0;
          for (std::int64_t i = 0; i < passes; ++i) work.fetch_add(1);
          done[static_cast<std::size_t>(thread)] += work.load();
        });
    CHECK(rate > 0);
    for (const int count : prepared) CHECK(count == 1);
    for (const std::int64_t passes : done) CHECK(passes == done[0] && passes > 0);
  }
  CHECK_THROWS(pyane::ShapeError,
               pyane::best_rate(0, 1, 1e-3, [](int) {}, [](int, std::int64_t) {}));
}

void test_what_cannot_be_prepared() {
  const auto prepare = [](int thread) {
    if (thread == 1) throw std::runtime_error("no memory");
  };
  CHECK_THROWS(std::runtime_error, pyane::best_rate(3, 1, 1e-3, prepare, [](int, std::int64_t) {}));
}

}  // namespace

int main() {
  test_a_machine_of_our_own();
  test_the_first_runs_are_disturbed();
  test_threads_always_start_late();
  test_every_other_run_is_interrupted();
  test_turns_are_not_added_up();
  test_threads();
  test_what_cannot_be_prepared();
  return 0;
}
