#include "pyane/base/thread_pool.h"

#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "pyane/base/cpu.h"
#include "pyane/base/error.h"
#include "pyane/base/interrupt.h"

namespace pyane {
namespace {

constexpr int kMaxThreads = 1024;
// Evaluations of one step follow each other within tens of microseconds; sleeping and waking costs
// about as much.
constexpr auto kSpinTime = std::chrono::microseconds(50);

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins for `kSpinTime` at most; true when `ready()` became true.
template <typename Ready>
bool spin_until(const Ready& ready) {
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

// True on workers, and on a caller while it runs bodies: nested calls stay on their thread.
thread_local bool inside_parallel = false;
thread_local PoolObserver* observer_of_caller = nullptr;

struct InsideParallel {
  InsideParallel() { inside_parallel = true; }
  ~InsideParallel() { inside_parallel = false; }
};

class Pool {
 public:
  // Held by the caller whose job the workers run.
  std::mutex owner;

  // Needs `owner`. `n` counts the calling thread.
  void resize(int n) {
    if (static_cast<int>(workers_.size()) + 1 == n) return;
    {
      const std::lock_guard lock(sleep_mutex_);
      stop_.store(true);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    stop_.store(false);
    const std::uint64_t seen = state_.load() >> kGenerationShift;
    for (int i = 1; i < n; ++i) {
      try {
        workers_.emplace_back([this, seen, i] { work(seen, i); });
      } catch (const std::system_error&) {
        return;  // Out of threads: fewer do the same work.
      }
    }
  }

  // Needs `owner`.
  void run(std::size_t n, const std::function<void(std::size_t)>& body) {
    body_ = &body;
    n_ = n;
    observer_ = observer_of_caller;
    next_.store(0, std::memory_order_relaxed);
    const std::uint64_t generation = (state_.load() >> kGenerationShift) + 1;
    state_.store((generation << kGenerationShift) | kOpen);
    if (sleepers_.load() > 0) {
      // Taken and released so that a worker between its last look and its sleep is not missed.
      {
        const std::lock_guard lock(sleep_mutex_);
      }
      wake_.notify_all();
    }
    {
      const InsideParallel mark;
      drain(0);
    }
    // Workers that did not come in time are not waited for.
    state_.fetch_and(~kOpen);
    const auto all_left = [this] { return (state_.load() & kActiveMask) == 0; };
    if (!spin_until(all_left)) {
      while (!all_left()) std::this_thread::yield();
    }
    if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  // state_: number of workers inside the job, whether more may come in, and the job's number.
  static constexpr std::uint64_t kActiveMask = 0xFFFFFFFF;
  static constexpr std::uint64_t kOpen = std::uint64_t{1} << 32;
  static constexpr int kGenerationShift = 33;

  void drain(int thread) {
    if (observer_ == nullptr) {
      run_bodies();
      return;
    }
    const auto begin = PoolObserver::Clock::now();
    if (run_bodies()) observer_->worked(thread, begin, PoolObserver::Clock::now());
  }

  // Whether there was anything left.
  bool run_bodies() {
    for (bool ran = false;; ran = true) {
      const std::size_t i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= n_) return ran;
      try {
        (*body_)(i);
        check_interrupt();  // Only the caller may have something to check.
      } catch (...) {
        const std::lock_guard lock(error_mutex_);
        if (error_ == nullptr) error_ = std::current_exception();
        next_.store(n_, std::memory_order_relaxed);
      }
    }
  }

  bool has_news(std::uint64_t seen) const {
    const std::uint64_t state = state_.load();
    return stop_.load() || ((state & kOpen) != 0 && state >> kGenerationShift != seen);
  }

  void work(std::uint64_t seen, int thread) {
    inside_parallel = true;
    const auto news = [&] { return has_news(seen); };
    for (;;) {
      if (!spin_until(news)) {
        std::unique_lock lock(sleep_mutex_);
        sleepers_.fetch_add(1);
        wake_.wait(lock, news);
        sleepers_.fetch_sub(1);
      }
      if (stop_.load()) return;
      std::uint64_t state = state_.load();
      while ((state & kOpen) != 0 && state >> kGenerationShift != seen) {
        if (!state_.compare_exchange_weak(state, state + 1)) continue;
        seen = state >> kGenerationShift;
        drain(thread);
        state_.fetch_sub(1);
        break;
      }
    }
  }

  std::vector<std::thread> workers_;
  std::atomic<std::uint64_t> state_{0};
  std::atomic<std::size_t> next_{0};
  const std::function<void(std::size_t)>* body_ = nullptr;
  std::size_t n_ = 0;
  PoolObserver* observer_ = nullptr;
  std::mutex error_mutex_;
  std::exception_ptr error_;
  std::atomic<bool> stop_{false};
  std::atomic<int> sleepers_{0};
  std::mutex sleep_mutex_;
  std::condition_variable wake_;
};

// Never destroyed: a pool must outlive every other static, and a child after fork() must not join
// threads that it does not have.
std::mutex pool_mutex;
Pool* pool = nullptr;

Pool& get_pool() {
  const std::lock_guard lock(pool_mutex);
  static const int registered =
      pthread_atfork([] { pool_mutex.lock(); }, [] { pool_mutex.unlock(); },
                     [] {
                       pool = nullptr;
                       pool_mutex.unlock();
                     });
  static_cast<void>(registered);
  if (pool == nullptr) pool = new Pool;
  return *pool;
}

int threads_from_environment() {
  const char* text = std::getenv("PYANE_NUM_THREADS");
  if (text == nullptr || *text == '\0') return usable_cores();
  char* end = nullptr;
  errno = 0;
  const long n = std::strtol(text, &end, 10);
  if (errno != 0 || *end != '\0' || n < 1 || n > kMaxThreads) {
    throw Error("PYANE_NUM_THREADS must be a number from 1 to " + std::to_string(kMaxThreads) +
                ", got '" + text + "'");
  }
  return static_cast<int>(n);
}

std::atomic<int> wanted_threads{0};  // 0: not yet known.

}  // namespace

int num_threads() {
  const int wanted = wanted_threads.load(std::memory_order_relaxed);
  if (wanted != 0) return wanted;
  const int initial = threads_from_environment();
  int expected = 0;
  wanted_threads.compare_exchange_strong(expected, initial);
  return expected == 0 ? initial : expected;
}

void set_num_threads(int n) {
  if (n < 1 || n > kMaxThreads) {
    throw ShapeError("set_num_threads: n must be from 1 to " + std::to_string(kMaxThreads) +
                     ", got " + std::to_string(n));
  }
  wanted_threads.store(n, std::memory_order_relaxed);
}

void parallel_for(std::size_t n, const std::function<void(std::size_t)>& body) {
  if (n == 0) return;
  if (!inside_parallel && n > 1 && num_threads() > 1) {
    Pool& workers = get_pool();
    const std::unique_lock lock(workers.owner, std::try_to_lock);
    if (lock.owns_lock()) {
      workers.resize(num_threads());
      workers.run(n, body);
      return;
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    body(i);
    check_interrupt();
  }
}

void observe_pool(PoolObserver* observer) { observer_of_caller = observer; }

}  // namespace pyane
