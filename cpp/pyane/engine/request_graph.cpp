#include "pyane/engine/request_graph.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <mutex>
#include <utility>

#include "pyane/base/thread_pool.h"

namespace pyane {
namespace {

/// How often a thread without work looks for some before it leaves the rest to the others: some
/// tens of microseconds, as long as a small request takes.
constexpr int kLooks = 1000;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

}  // namespace

void RequestGraph::evaluate(Requests requests) {
  std::chrono::nanoseconds work{};
  for (const auto& request : requests) work += request->footprint()->work;
  build(requests);
  n_left_.store(static_cast<int>(requests.size()));
  first_failed_.store(static_cast<int>(requests.size()));
  n_ready_.store(static_cast<int>(ready_.size()));
  try {
    // A thread that comes late finds nothing left to do; one that comes never is not missed.
    parallel_for(at(num_threads()), work, [&](std::size_t) { this->work(requests); });
  } catch (...) {  // Stopped from outside, which counts for more than what failed meanwhile.
    error_ = nullptr;
    throw;
  }
  if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
}

void RequestGraph::build(Requests requests) {
  nodes_.assign(requests.size(), {});
  links_.clear();
  ready_.clear();
  ready_.reserve(requests.size());  // Nothing is allocated while others wait for lock_.
  std::size_t n_uses = 1;
  for (const auto& request : requests) {
    const Footprint& own = *request->footprint();
    n_uses += own.reads.size() + own.writes.size();
  }
  memories_.assign(std::bit_ceil(2 * n_uses), {});
  for (int i = 0; at(i) < requests.size(); ++i) {
    const Footprint& own = *requests[at(i)]->footprint();
    for (const std::uint64_t key : own.reads) wait_for(memory(key).writer, i);
    for (const std::uint64_t key : own.writes) {
      Memory& used = memory(key);
      wait_for(used.writer, i);
      for (int l = used.readers; l != kNone; l = links_[at(l)].next) {
        wait_for(links_[at(l)].request, i);
      }
      used.writer = i;
      used.readers = kNone;
    }
    // After its writes, or what it reads and writes would make it wait for itself.
    for (const std::uint64_t key : own.reads) {
      Memory& used = memory(key);
      if (used.writer != i) used.readers = link(i, used.readers);
    }
  }
  for (int i = static_cast<int>(requests.size()) - 1; i >= 0; --i) {
    if (nodes_[at(i)].n_missing == 0) ready_.push_back(i);
  }
}

RequestGraph::Memory& RequestGraph::memory(std::uint64_t key) {
  // Fibonacci hashing: inodes and identifiers count up.
  const std::size_t mask = memories_.size() - 1;
  std::size_t i = static_cast<std::size_t>((key * 0x9E3779B97F4A7C15U) >> 32) & mask;
  while (memories_[i].is_used && memories_[i].key != key) i = (i + 1) & mask;
  memories_[i].is_used = true;
  memories_[i].key = key;
  return memories_[i];
}

int RequestGraph::link(int request, int next) {
  links_.push_back({request, next});
  return static_cast<int>(links_.size()) - 1;
}

void RequestGraph::wait_for(int earlier, int later) {
  if (earlier == kNone || earlier == later) return;
  Node& node = nodes_[at(earlier)];
  node.waiting = link(later, node.waiting);
  ++nodes_[at(later)].n_missing;
}

void RequestGraph::work(Requests requests) {
  for (int looks = 0; looks < kLooks && n_left_.load(std::memory_order_relaxed) > 0; ++looks) {
    if (n_ready_.load(std::memory_order_relaxed) == 0) {
      // Somebody is at work on what the rest waits for, and will not leave before it is done.
      relax();
      continue;
    }
    int request = kNone;
    {
      const std::lock_guard lock(lock_);
      if (ready_.empty()) continue;
      request = ready_.back();
      ready_.pop_back();
      n_ready_.store(static_cast<int>(ready_.size()), std::memory_order_relaxed);
    }
    run(requests, request);
    looks = 0;
    const std::lock_guard lock(lock_);
    finish(request);
  }
}

void RequestGraph::run(Requests requests, int request) {
  if (request > first_failed_.load(std::memory_order_relaxed)) return;
  try {
    requests[at(request)]->evaluate();
  } catch (...) {
    const std::lock_guard lock(lock_);
    if (request > first_failed_.load(std::memory_order_relaxed)) return;
    first_failed_.store(request, std::memory_order_relaxed);
    error_ = std::current_exception();
  }
}

void RequestGraph::finish(int request) {
  for (int l = nodes_[at(request)].waiting; l != kNone; l = links_[at(l)].next) {
    const int waiting = links_[at(l)].request;
    if (--nodes_[at(waiting)].n_missing == 0) ready_.push_back(waiting);
  }
  n_ready_.store(static_cast<int>(ready_.size()), std::memory_order_relaxed);
  n_left_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace pyane
