#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>

namespace pyane {

/// Threads used for evaluation, including the caller: PYANE_NUM_THREADS if set, else the physical
/// cores this process may use. One pool for the process.
int num_threads();

/// The most that may be asked for.
inline constexpr int kMaxThreads = 1024;

/// @throws ShapeError  when `n` is not in [1, kMaxThreads]. Takes effect for the next parallel_for.
void set_num_threads(int n);

/// Runs body(i) for every i in [0, n), on the pool and the calling thread, and returns when all are
/// done. Which thread runs which i is not fixed, so results must not depend on it: split work by
/// shape, never by thread count.
///
/// @param work  About how long all of it takes one thread. As many threads take part as that is
///     worth, none but the caller for a few microseconds; unknown: all of them.
///
/// Re-entrant: from inside a body, and when another caller holds the pool, it runs on the calling
/// thread alone. The first exception thrown by a body is rethrown here after all have stopped; so
/// is what the caller's interrupt check throws (interrupt.h).
/// Workers spin briefly, then sleep. Safe after fork(): the child starts a pool of its own.
void parallel_for(std::size_t n, std::chrono::nanoseconds work,
                  const std::function<void(std::size_t)>& body);

inline constexpr auto kUnknownWork = std::chrono::nanoseconds::max();

/// An estimate, however large: from some second on all threads are worth it.
inline std::chrono::nanoseconds estimated_work(double nanoseconds) {
  return std::chrono::nanoseconds(static_cast<std::int64_t>(std::min(nanoseconds, 1e12)));
}

/// The same without a copy of `body`, for which std::function would allocate memory.
template <typename Body>
  requires(!std::same_as<std::remove_cvref_t<Body>, std::function<void(std::size_t)>>)
void parallel_for(std::size_t n, std::chrono::nanoseconds work, const Body& body) {
  parallel_for(n, work, std::function<void(std::size_t)>(std::cref(body)));
}

template <typename Body>
void parallel_for(std::size_t n, const Body& body) {
  parallel_for(n, kUnknownWork, body);
}

/// Told of the work that parallel_for shares out; for profiles.
class PoolObserver {
 public:
  using Clock = std::chrono::steady_clock;
  virtual ~PoolObserver() = default;
  /// A thread ran bodies of one parallel_for; 0 is its caller. Called by that thread, before the
  /// parallel_for returns.
  virtual void worked(int thread, Clock::time_point begin, Clock::time_point end) = 0;
};

/// Whom to tell of the calls that this thread makes from now on; nullptr: nobody. It must outlive
/// them.
void observe_pool(PoolObserver* observer);

}  // namespace pyane
