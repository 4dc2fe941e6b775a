#pragma once

#include <cstdint>
#include <functional>
#include <span>

// The best rate of several short runs, on a machine that others use, too.

namespace pyane {

/// When a thread began a run and ended it, in seconds.
struct RunTime {
  double begin = 0;
  double end = 0;
};

/// Decides how long each run is, and when there have been enough; keeps the best rate. Has no
/// clock.
///
/// Lengths from 1/4 to 4 ms take turns: a short run may fall between two interruptions, a long one
/// outlasts threads that start one after the other. What a pass takes is learned from the quickest
/// thread alone: runs of threads that waited for a core look long, and are not.
class BestRate {
 public:
  /// @param units   Of work in a pass of one thread.
  /// @param budget  Seconds, after which no run begins; but there are at least two.
  BestRate(double units, double budget) : units_(units), budget_(budget) {}

  /// Passes of the next run, of every thread.
  std::int64_t passes() const { return passes_; }

  /// @param times    Of the run, one per thread.
  /// @param elapsed  Seconds since the first run began.
  void add(std::span<const RunTime> times, double elapsed);

  bool is_done() const { return n_runs_ >= kLeastRuns && elapsed_ >= budget_; }

  /// Units a second of all threads together.
  double rate() const { return best_; }

 private:
  static constexpr int kLeastRuns = 2;

  double units_;
  double budget_;
  double best_ = 0;
  double elapsed_ = 0;
  double pass_seconds_ = 0;  // 0: none yet.
  std::int64_t passes_ = 1;
  int n_runs_ = 0;  // That were long enough to count.
};

/// Runs body(thread, passes) on `threads` threads of its own at once, again and again; each first
/// calls prepare(thread). Units a second of all threads together in the best run.
/// @throws ShapeError  when threads < 1.
/// @throws Error  when the system has no more threads; and what `prepare` throws.
double best_rate(int threads, double units, double budget, const std::function<void(int)>& prepare,
                 const std::function<void(int, std::int64_t)>& body);

}  // namespace pyane
