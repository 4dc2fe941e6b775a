#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"
#include "pyane/base/interrupt.h"
#include "pyane/base/thread_pool.h"
#include "pyane/engine/request_list.h"

// Lists of requests: as if in order, whatever runs at once.

using pyane::Footprint;
using pyane::Request;

namespace {

constexpr std::size_t kMemories = 6;

/// Plain numbers: a data race between requests is one for ThreadSanitizer, too.
using Memories = std::vector<std::uint64_t>;

/// Mixes what it reads and what was there into what it writes.
class Mix final : public Request {
 public:
  Mix(Memories& memories, Footprint footprint, std::uint64_t number, bool is_large)
      : memories_(memories),
        footprint_(std::move(footprint)),
        number_(number),
        is_large_(is_large) {}

  void evaluate() override {
    std::uint64_t sum = number_;
    for (const std::uint64_t key : footprint_.reads) sum = sum * 31 + memories_[key];
    std::this_thread::sleep_for(std::chrono::microseconds(number_ % 3 * 20));
    for (const std::uint64_t key : footprint_.writes) memories_[key] = memories_[key] * 7 + sum;
  }
  const Footprint* footprint() const override { return is_large_ ? nullptr : &footprint_; }

 private:
  Memories& memories_;
  Footprint footprint_;
  std::uint64_t number_;
  bool is_large_;
};

void test_as_if_in_order() {
  std::mt19937 random(7);
  const auto some = [&](std::size_t most) {
    std::vector<std::uint64_t> keys(random() % (most + 1));
    for (std::uint64_t& key : keys) key = random() % kMemories;
    return keys;
  };
  for (int round = 0; round < 40; ++round) {
    Memories memories(kMemories, 1);
    std::vector<std::shared_ptr<Request>> requests;
    for (std::uint64_t i = 0; i < 60; ++i) {
      Footprint footprint{
          .reads = some(3), .writes = some(2), .work = std::chrono::milliseconds(1)};
      if (footprint.writes.empty()) footprint.writes.push_back(random() % kMemories);
      requests.push_back(
          std::make_shared<Mix>(memories, std::move(footprint), i, random() % 20 == 0));
    }
    requests.push_back(requests.front());  // The same one again.
    pyane::set_num_threads(1);
    pyane::evaluate_in_order(requests);
    const Memories expected = std::exchange(memories, Memories(kMemories, 1));
    for (const int threads : {2, 4}) {
      pyane::set_num_threads(threads);
      memories.assign(kMemories, 1);
      pyane::evaluate_in_order(requests);
      CHECK(memories == expected);
    }
  }
}

/// Waits until as many as `wanted` of its kind run, or gives up.
class Meet final : public Request {
 public:
  Meet(std::atomic<int>& present, int wanted, std::uint64_t key)
      : present_(present), wanted_(wanted) {
    footprint_.writes = {key};
    footprint_.work = std::chrono::milliseconds(1);
  }
  void evaluate() override {
    ++present_;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (present_ < wanted_ && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  }
  const Footprint* footprint() const override { return &footprint_; }

 private:
  std::atomic<int>& present_;
  int wanted_;
  Footprint footprint_;
};

/// Chains that share nothing run beside each other, though their requests stand in turns.
void test_independent_ones_overlap() {
  pyane::set_num_threads(3);
  std::vector<std::atomic<int>> present(4);
  std::vector<std::shared_ptr<Request>> requests;
  for (std::atomic<int>& step : present) {
    for (std::uint64_t chain = 0; chain < 3; ++chain) {
      requests.push_back(std::make_shared<Meet>(step, 3, chain));
    }
  }
  pyane::evaluate_in_order(requests);
  for (const std::atomic<int>& step : present) CHECK(step == 3);
}

class Numbered final : public Request {
 public:
  Numbered(std::atomic<int>& count, std::optional<int> error, std::uint64_t key)
      : count_(count), error_(error) {
    footprint_.writes = {key};
    footprint_.work = std::chrono::milliseconds(1);
  }
  void evaluate() override {
    ++count_;
    if (error_) throw std::runtime_error(std::to_string(*error_));
  }
  const Footprint* footprint() const override { return &footprint_; }

 private:
  std::atomic<int>& count_;
  std::optional<int> error_;
  Footprint footprint_;
};

/// Of several failures the first in the list counts; all before it are evaluated, nothing that
/// depends on it is, and the next list is none the worse.
void test_first_failure() {
  for (const int threads : {1, 4}) {
    pyane::set_num_threads(threads);
    for (int round = 0; round < 50; ++round) {
      std::vector<std::atomic<int>> counts(20);
      std::vector<std::shared_ptr<Request>> requests;
      for (int i = 0; i < 20; ++i) {
        const bool fails = i == 7 || i == 9 || i == 12;
        requests.push_back(std::make_shared<Numbered>(counts[static_cast<std::size_t>(i)],
                                                      fails ? std::optional(i) : std::nullopt,
                                                      static_cast<std::uint64_t>(i % 5)));
      }
      try {
        pyane::evaluate_in_order(requests);
        CHECK(false);
      } catch (const std::runtime_error& error) {
        CHECK(std::string(error.what()) == "7");
      }
      for (std::size_t i = 0; i <= 7; ++i) CHECK(counts[i] == 1);
      CHECK(counts[12] == 0 && counts[17] == 0);  // After 7 on its memory.
      pyane::evaluate_in_order(std::span(requests).first(7));
    }
  }
}

class Slow final : public Request {
 public:
  Slow(bool fails, std::uint64_t key) : fails_(fails) {
    footprint_.writes = {key};
    footprint_.work = std::chrono::milliseconds(5);
  }
  void evaluate() override {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (fails_) throw std::runtime_error("slow");
  }
  const Footprint* footprint() const override { return &footprint_; }

 private:
  bool fails_;
  Footprint footprint_;
};

/// Stopped from outside while a request fails, too: neither is left for the next list.
void test_interrupt() {
  struct Stopped {};
  pyane::set_num_threads(2);
  std::vector<std::shared_ptr<Request>> requests;
  for (std::uint64_t i = 0; i < 40; ++i) requests.push_back(std::make_shared<Slow>(i == 39, i));
  {
    const pyane::InterruptScope scope([] { throw Stopped(); });
    CHECK_THROWS(Stopped, pyane::evaluate_in_order(requests));
  }
  pyane::evaluate_in_order(std::span(requests).first(8));
}

void test_callers_at_once() {
  pyane::set_num_threads(4);
  std::atomic<int> count{0};
  std::vector<std::thread> callers;
  for (std::uint64_t caller = 0; caller < 3; ++caller) {
    callers.emplace_back([&count, caller] {
      std::vector<std::shared_ptr<Request>> requests;
      for (std::uint64_t i = 0; i < 30; ++i) {
        requests.push_back(std::make_shared<Numbered>(count, std::nullopt, 10 * caller + i % 4));
      }
      for (int round = 0; round < 30; ++round) pyane::evaluate_in_order(requests);
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(count == 3 * 30 * 30);
}

}  // namespace

int main() {
  test_as_if_in_order();
  test_independent_ones_overlap();
  test_first_failure();
  test_interrupt();
  test_callers_at_once();
  return 0;
}
