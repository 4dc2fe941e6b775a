#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <vector>

#include "pyane/base/spin.h"
#include "pyane/engine/device.h"

namespace pyane {

/// Small requests and what waits for what among them: a request for the last one before it that
/// writes what it reads or writes, and for those before it that read what it writes.
///
/// Keeps its memory for the next list. Not thread-safe.
class RequestGraph {
 public:
  using Requests = std::span<const std::shared_ptr<Request>>;

  /// Evaluates requests that all have a footprint, on as many threads as they are worth.
  /// @throws what the first of them that fails throws. None after it is started then.
  void evaluate(Requests requests);

 private:
  static constexpr int kNone = -1;

  /// A list of requests is a chain of these.
  struct Link {
    int request;
    int next;
  };
  struct Node {
    int n_missing = 0;    ///< Of those that it waits for.
    int waiting = kNone;  ///< Those that wait for it, a chain in links_.
  };
  /// Who used some memory last.
  struct Memory {
    std::uint64_t key = 0;
    bool is_used = false;
    int writer = kNone;
    int readers = kNone;  ///< Since then, a chain in links_.
  };

  void build(Requests requests);
  Memory& memory(std::uint64_t key);
  int link(int request, int next);
  void wait_for(int earlier, int later);

  void work(Requests requests);
  /// Puts on ready_ who waited for nobody else; needs lock_.
  void finish(int request);
  void run(Requests requests, int request);

  std::vector<Node> nodes_;
  std::vector<Link> links_;
  std::vector<Memory> memories_;  ///< By a hash of the key; a power of two of them.

  SpinLock lock_;           ///< Of what follows.
  std::vector<int> ready_;  ///< The next to be taken comes last.
  std::exception_ptr error_;
  std::atomic<int> n_ready_ = 0;
  std::atomic<int> n_left_ = 0;
  std::atomic<int> first_failed_ = 0;
};

}  // namespace pyane
