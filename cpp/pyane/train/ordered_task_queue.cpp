#include "pyane/train/ordered_task_queue.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/base/thread_pool.h"

namespace pyane {
namespace {

struct Entry {
  std::uint64_t number = 0;
  OrderedTaskQueue::Task task;
  std::size_t next_part = 0;
  std::size_t running_parts = 0;
  std::size_t n_blockers = 0;  // earlier pending tasks that write the same memory

  bool is_over() const { return next_part == task.n_parts && running_parts == 0; }
  bool is_runnable() const { return n_blockers == 0 && next_part < task.n_parts; }
};

using Entries = std::list<Entry>;
using Lock = std::unique_lock<std::mutex>;

bool overlap(const OrderedTaskQueue::Task& a, const OrderedTaskQueue::Task& b) {
  const auto a_begin = reinterpret_cast<std::uintptr_t>(a.target);
  const auto b_begin = reinterpret_cast<std::uintptr_t>(b.target);
  return a_begin < b_begin + b.target_bytes && b_begin < a_begin + a.target_bytes;
}

}  // namespace

struct OrderedTaskQueue::State {
  State(int n_workers_, Limits limits_) : n_workers(n_workers_), limits(limits_) {
    threads.reserve(static_cast<std::size_t>(n_workers));
    try {
      for (int i = 0; i < n_workers; ++i) threads.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }

  /// A child has neither the workers nor, perhaps, the mutex in a usable state.
  void check_process() const {
    if (getpid() == owner) return;
    throw Error("task queue: belongs to process " + std::to_string(owner) +
                "; make another one after fork()");
  }

  void work() {
    Lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return stopping || find_runnable() != entries.end(); });
      if (stopping) return;
      run_part(lock, find_runnable());
    }
  }

  /// Runs parts, or sleeps while others do, until done() is true.
  template <typename Done>
  void help_until(Lock& lock, const Done& done) {
    while (!done()) {
      const auto entry = find_runnable();
      if (entry != entries.end()) {
        run_part(lock, entry);
      } else {
        changed.wait(lock);
      }
    }
  }

  /// The same without the lock, on the thread pool if it is free.
  template <typename Done>
  void help_on_pool(const Done& done) {
    parallel_for(static_cast<std::size_t>(num_threads()), [&](std::size_t) {
      Lock lock(mutex);
      help_until(lock, done);
    });
  }

  Entries::iterator find_runnable() {
    return std::find_if(entries.begin(), entries.end(),
                        [](const Entry& entry) { return entry.is_runnable(); });
  }

  /// Unlocks while the part runs, and while what a task held is released.
  void run_part(Lock& lock, Entries::iterator entry) {
    const std::size_t part = entry->next_part++;
    ++entry->running_parts;
    lock.unlock();
    std::exception_ptr thrown;
    try {
      entry->task.run(part);
    } catch (...) {
      thrown = std::current_exception();
    }
    lock.lock();
    Entries over;
    if (thrown) {
      if (!error) error = std::move(thrown);
      drop_not_begun(over);
    }
    --entry->running_parts;
    if (entry->is_over()) remove(entry, over);
    if (over.empty()) return;
    changed.notify_all();
    lock.unlock();
    over.clear();  // what tasks hold is released without the lock
    lock.lock();
  }

  /// Parts that run finish; nothing else begins.
  void drop_not_begun(Entries& over) {
    for (auto entry = entries.begin(); entry != entries.end();) {
      const auto next = std::next(entry);
      entry->next_part = entry->task.n_parts;
      if (entry->is_over()) remove(entry, over);
      entry = next;
    }
  }

  void remove(Entries::iterator entry, Entries& over) {
    for (auto later = std::next(entry); later != entries.end(); ++later) {
      if (overlap(entry->task, later->task)) --later->n_blockers;
    }
    held_bytes -= entry->task.held_bytes;
    over.splice(over.end(), entries, entry);
  }

  void stop() {
    Entries over;
    {
      const Lock lock(mutex);
      stopping = true;
      drop_not_begun(over);
    }
    changed.notify_all();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }

  const int n_workers;
  const Limits limits;
  const pid_t owner = getpid();
  mutable std::mutex mutex;
  std::condition_variable changed;  // any of what follows
  Entries entries;                  // pending, in order of submission
  std::size_t held_bytes = 0;
  std::uint64_t next_number = 0;
  std::exception_ptr error;
  bool stopping = false;
  std::vector<std::thread> threads;
};

namespace {

/// The queues with workers, which must not outlive the libraries that they call into: a BLAS gives
/// its buffers back in its own exit handler, registered before ours.
class LiveQueues {
 public:
  static LiveQueues& instance() {
    static LiveQueues& live = *new LiveQueues;  // outlives every queue, static ones included
    return live;
  }

  void add(void* state, void (*stop)(void*)) {
    const std::lock_guard lock(mutex_);
    queues_.push_back({state, stop});
  }

  void remove(void* state) {
    const std::lock_guard lock(mutex_);
    std::erase_if(queues_, [&](const Queue& queue) { return queue.state == state; });
  }

 private:
  struct Queue {
    void* state;
    void (*stop)(void*);
  };

  LiveQueues() {
    std::atexit([] { instance().stop_all(); });
    // A child begins without queues, and with the mutex free.
    pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                   [] {
                     instance().queues_.clear();
                     instance().mutex_.unlock();
                   });
  }

  void stop_all() {
    const std::lock_guard lock(mutex_);
    for (const Queue& queue : queues_) queue.stop(queue.state);
    queues_.clear();
  }

  std::mutex mutex_;
  std::vector<Queue> queues_;
};

}  // namespace

OrderedTaskQueue::OrderedTaskQueue(int n_workers, Limits limits) {
  constexpr int kMaxWorkers = 256;
  if (n_workers < 0 || n_workers > kMaxWorkers) {
    throw ShapeError("task queue: n_workers must be in [0, " + std::to_string(kMaxWorkers) +
                     "], got " + std::to_string(n_workers));
  }
  if (limits.tasks == 0) throw ShapeError("task queue: limit of tasks must be at least 1, got 0");
  auto state = std::make_unique<State>(n_workers, limits);
  if (n_workers > 0) {
    LiveQueues::instance().add(state.get(),
                               [](void* queue) { static_cast<State*>(queue)->stop(); });
  }
  state_ = state.release();
}

OrderedTaskQueue::~OrderedTaskQueue() {
  if (getpid() != state_->owner) return;
  LiveQueues::instance().remove(state_);
  state_->stop();
  delete state_;
}

std::uint64_t OrderedTaskQueue::submit(Task task) {
  State& state = *state_;
  state.check_process();
  Lock lock(state.mutex);
  const auto fits = [&] {
    const std::size_t room =
        state.limits.held_bytes - std::min(state.held_bytes, state.limits.held_bytes);
    return state.entries.empty() ||
           (task.held_bytes <= room && state.entries.size() < state.limits.tasks);
  };
  while (state.n_workers == 0 && !fits()) {
    lock.unlock();
    state.help_on_pool(fits);
    lock.lock();
  }
  state.help_until(lock, fits);
  if (state.stopping) throw Error("task queue: the process is exiting");
  const std::uint64_t number = state.next_number++;
  if (task.n_parts == 0 || state.error) return number;
  Entry entry = {.number = number, .task = std::move(task)};
  for (const Entry& earlier : state.entries) {
    if (overlap(earlier.task, entry.task)) ++entry.n_blockers;
  }
  state.held_bytes += entry.task.held_bytes;
  state.entries.push_back(std::move(entry));
  state.changed.notify_all();
  return number;
}

void OrderedTaskQueue::wait() {
  State& state = *state_;
  state.check_process();
  std::uint64_t end = 0;
  bool idle = false;
  {
    const Lock lock(state.mutex);
    end = state.next_number;
    idle = state.entries.empty();
  }
  if (!idle) {
    state.help_on_pool(
        [&] { return state.entries.empty() || state.entries.front().number >= end; });
  }
  std::exception_ptr error;
  {
    const Lock lock(state.mutex);
    error = std::exchange(state.error, nullptr);
  }
  if (error) std::rethrow_exception(error);
}

void OrderedTaskQueue::cancel() {
  State& state = *state_;
  state.check_process();
  Entries over;
  Lock lock(state.mutex);
  const std::uint64_t end = state.next_number;
  state.drop_not_begun(over);
  state.changed.wait(lock,
                     [&] { return state.entries.empty() || state.entries.front().number >= end; });
  state.error = nullptr;
  state.changed.notify_all();
}

std::uint64_t OrderedTaskQueue::oldest_pending() const {
  state_->check_process();
  const Lock lock(state_->mutex);
  return state_->entries.empty() ? state_->next_number : state_->entries.front().number;
}

int OrderedTaskQueue::n_workers() const { return state_->n_workers; }

}  // namespace pyane
