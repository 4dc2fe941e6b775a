#include "pyane/base/thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "pyane/base/cpu.h"
#include "pyane/base/error.h"
#include "pyane/base/interrupt.h"
#include "pyane/base/spin.h"

namespace pyane {
namespace {

// What follows was measured on a virtual machine, where waking a thread costs the caller 5 to 20 us
// and the thread is there after 50 to 200; one that spins is there after 0.3 us. Spinning outlasts
// what Python does between two kernels of a training step, 50 to 150 us.
constexpr auto kSpinTime = std::chrono::microseconds(300);
// Work that is worth sharing with one thread more, when that spins and when it sleeps.
constexpr std::chrono::nanoseconds kWorthAThread = std::chrono::microseconds(4);
constexpr std::chrono::nanoseconds kWorthWaking = std::chrono::microseconds(200);
// Calls that follow each other more closely than this count together as worth waking somebody.
constexpr auto kPause = std::chrono::milliseconds(1);
// Pairs of cache lines are fetched together.
constexpr std::size_t kApart = 128;

using Clock = std::chrono::steady_clock;

// Spins for `kSpinTime` at most; true when `ready()` became true.
template <typename Ready>
bool spin_until(const Ready& ready) {
  const auto end = Clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      relax();
    }
  } while (Clock::now() < end);
  return false;
}

// True on workers, and on a caller while it runs bodies: nested calls stay on their thread.
thread_local bool inside_parallel = false;
thread_local PoolObserver* observer_of_caller = nullptr;

struct InsideParallel {
  InsideParallel() { inside_parallel = true; }
  ~InsideParallel() { inside_parallel = false; }
};

// Every worker has a state of its own, on which it spins or sleeps: offering it work disturbs
// nobody else.
//
//   idle -> offered -> busy -> idle     by caller, worker, worker
//   offered -> idle                     by the caller: all is done before the worker came
//   idle -> asleep -> offered           by worker, caller (who then wakes it)
//   anything but busy -> stopped        by whoever resizes the pool
enum class State : std::uint32_t { kIdle, kAsleep, kOffered, kBusy, kStopped };

struct alignas(kApart) Worker {
  std::atomic<State> state{State::kIdle};
  std::size_t share = 0;  // Where it begins. Of the caller, until it offers work.
  std::thread thread;
};

// Consecutive bodies for one thread, so that it finds again in its caches what it left there in the
// call before. Who is through with his own takes from others'.
struct alignas(kApart) Share {
  std::atomic<std::size_t> next{0};
  std::size_t end = 0;
};

class Pool {
 public:
  // Held by the caller whose job the workers run.
  std::mutex owner;

  // Needs `owner`. `n` counts the calling thread.
  void resize(int n) {
    if (n == size_) return;
    for (const auto& worker : workers_) {
      worker->state.store(State::kStopped);
      worker->state.notify_one();
    }
    for (const auto& worker : workers_) worker->thread.join();
    workers_.clear();
    shares_ = std::make_unique<Share[]>(static_cast<std::size_t>(n));
    size_ = n;
    for (int i = 1; i < n; ++i) {
      auto worker = std::make_unique<Worker>();
      try {
        worker->thread = std::thread([this, i, own = worker.get()] { work(*own, i); });
      } catch (const std::system_error&) {
        return;  // Out of threads: fewer do the same work.
      }
      workers_.push_back(std::move(worker));
    }
  }

  // Needs `owner`.
  void run(std::size_t n, std::chrono::nanoseconds work,
           const std::function<void(std::size_t)>& body) {
    body_ = &body;
    observer_ = observer_of_caller;
    n_shares_ = std::min({n, workers_.size() + 1, static_cast<std::size_t>(work / kWorthAThread)});
    n_shares_ = std::max<std::size_t>(n_shares_, 1);
    for (std::size_t i = 0, begin = 0; i < n_shares_; ++i) {
      shares_[i].next.store(begin, std::memory_order_relaxed);
      begin += n / n_shares_ + (i < n % n_shares_ ? 1 : 0);
      shares_[i].end = begin;
    }
    offer(work);
    {
      const InsideParallel mark;
      drain(0, 0);
    }
    for (Worker* worker : helpers_) {
      State expected = State::kOffered;  // Who did not come in time is not waited for.
      if (worker->state.compare_exchange_strong(expected, State::kIdle)) continue;
      const auto has_left = [worker] { return worker->state.load() != State::kBusy; };
      if (!spin_until(has_left)) {
        while (!has_left()) std::this_thread::yield();
      }
    }
    if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  // Chooses helpers_: those who are awake first, so that few stay warm.
  void offer(std::chrono::nanoseconds work) {
    helpers_.clear();
    const std::size_t wanted = n_shares_ - 1;
    if (wanted == 0) return;
    for (const auto& worker : workers_) {
      if (helpers_.size() == wanted) return;
      if (worker->state.load() != State::kIdle) continue;
      worker->share = helpers_.size() + 1;
      State expected = State::kIdle;
      if (worker->state.compare_exchange_strong(expected, State::kOffered)) {
        helpers_.push_back(worker.get());
      }
    }
    for (std::size_t left = worth_waking(work); left > 0 && helpers_.size() < wanted; --left) {
      const auto asleep = std::ranges::find_if(
          workers_, [](const auto& worker) { return worker->state.load() == State::kAsleep; });
      // Perhaps one who has been awake, and through with his share, since this call began.
      if (asleep == workers_.end()) return;
      (*asleep)->share = helpers_.size() + 1;
      (*asleep)->state.store(State::kOffered);
      (*asleep)->state.notify_one();
      helpers_.push_back(asleep->get());
    }
  }

  // How many sleepers. One call may be too short for any while those before and after it are not.
  std::size_t worth_waking(std::chrono::nanoseconds work) {
    if (work >= kWorthWaking) return static_cast<std::size_t>(work / kWorthWaking);
    const Clock::time_point now = Clock::now();
    if (now - last_alone_ > kPause) alone_ = {};
    last_alone_ = now;
    alone_ += work;
    if (alone_ < kWorthWaking) return 0;
    alone_ = {};
    return 1;
  }

  void drain(int thread, std::size_t share) {
    if (observer_ == nullptr) {
      run_bodies(share);
      return;
    }
    const auto begin = PoolObserver::Clock::now();
    if (run_bodies(share)) observer_->worked(thread, begin, PoolObserver::Clock::now());
  }

  // Whether there was anything left.
  bool run_bodies(std::size_t first_share) {
    bool ran = false;
    for (std::size_t i = 0; i < n_shares_; ++i) {
      Share& share = shares_[(first_share + i) % n_shares_];
      while (share.next.load(std::memory_order_relaxed) < share.end) {
        const std::size_t task = share.next.fetch_add(1, std::memory_order_relaxed);
        if (task >= share.end) break;
        run_body(task);
        ran = true;
      }
    }
    return ran;
  }

  void run_body(std::size_t task) {
    try {
      (*body_)(task);
      check_interrupt();  // Only the caller may have something to check.
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (error_ == nullptr) error_ = std::current_exception();
      for (std::size_t i = 0; i < n_shares_; ++i) {
        shares_[i].next.store(shares_[i].end, std::memory_order_relaxed);
      }
    }
  }

  void work(Worker& own, int thread) {
    inside_parallel = true;
    const auto has_news = [&own] {
      const State state = own.state.load(std::memory_order_relaxed);
      return state == State::kOffered || state == State::kStopped;
    };
    for (;;) {
      if (!spin_until(has_news)) {
        State expected = State::kIdle;
        if (own.state.compare_exchange_strong(expected, State::kAsleep)) {
          own.state.wait(State::kAsleep);
        }
      }
      State expected = State::kOffered;
      if (own.state.compare_exchange_strong(expected, State::kBusy)) {
        drain(thread, own.share);
        own.state.store(State::kIdle);
      } else if (expected == State::kStopped) {
        return;
      }
    }
  }

  // Set by the caller; the workers that it offers them to only read them.
  const std::function<void(std::size_t)>* body_ = nullptr;
  std::size_t n_shares_ = 1;
  std::unique_ptr<Share[]> shares_ = std::make_unique<Share[]>(1);
  PoolObserver* observer_ = nullptr;
  // Of the caller only.
  int size_ = 1;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<Worker*> helpers_;
  std::chrono::nanoseconds alone_{};  // Work of calls for which nobody was woken.
  Clock::time_point last_alone_;
  std::mutex error_mutex_;
  std::exception_ptr error_;
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

void parallel_for(std::size_t n, std::chrono::nanoseconds work,
                  const std::function<void(std::size_t)>& body) {
  if (n == 0) return;
  if (!inside_parallel && n > 1 && work >= 2 * kWorthAThread && num_threads() > 1) {
    Pool& workers = get_pool();
    const std::unique_lock lock(workers.owner, std::try_to_lock);
    if (lock.owns_lock()) {
      workers.resize(num_threads());
      workers.run(n, work, body);
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
