#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace pyane {

/// Runs tasks on worker threads of its own while the caller does something else; without workers on
/// the thread pool, all of them together in wait(), or in the submit() that would exceed a limit.
///
/// Tasks that write the same memory run one after the other in the order of submission; all others
/// may overlap, and so may the parts of one task. What is computed therefore does not depend on
/// timing or on the number of workers.
///
/// The first exception of a task is kept and rethrown by the next wait(); tasks not yet begun are
/// then dropped, as are those submitted before that wait().
///
/// Thread-safe. A queue belongs to the process that made it: in a forked child every call but the
/// destructor throws Error. When the process exits, tasks not yet begun are dropped and workers
/// stopped before the libraries they call into shut down.
class OrderedTaskQueue {
 public:
  struct Task {
    const void* target = nullptr;  ///< Memory the task writes, and
    std::size_t target_bytes = 0;  ///< its extent.
    std::size_t n_parts = 1;
    /// run(part) for each part in [0, n_parts), in any order and at the same time. Destroyed, with
    /// all it holds, when the task is over or dropped. Must not call the queue.
    std::function<void(std::size_t)> run = nullptr;
    std::size_t held_bytes = 0;  ///< Memory the task keeps until it is over.
  };

  struct Limits {
    std::size_t held_bytes = std::size_t{256} << 20;
    std::size_t tasks = 1024;
  };

  /// @throws ShapeError  unless 0 <= n_workers <= 256 and limits.tasks >= 1.
  OrderedTaskQueue(int n_workers, Limits limits);

  /// Drops tasks that have not begun, waits for those that have.
  ~OrderedTaskQueue();
  OrderedTaskQueue(const OrderedTaskQueue&) = delete;
  OrderedTaskQueue& operator=(const OrderedTaskQueue&) = delete;

  /// Blocks while the task would exceed a limit and others are pending: a single task larger than
  /// the limit is let through alone.
  /// @return  Its number, counting from 0.
  std::uint64_t submit(Task task);

  /// Returns when all tasks submitted before are over. The calling thread, and the pool if it is
  /// free, help. Rethrows the first exception since the last wait().
  void wait();

  /// Drops tasks that have not begun, waits for those that have, forgets a kept exception.
  void cancel();

  /// All tasks with smaller numbers are over. Never blocks for long.
  std::uint64_t oldest_pending() const;

  int n_workers() const;

 private:
  struct State;
  State* state_;  // leaked in a forked child, where its threads do not exist
};

}  // namespace pyane
