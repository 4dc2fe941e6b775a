#include "pyane/engine/request_list.h"

#include <algorithm>
#include <cstddef>

#include "pyane/base/thread_pool.h"
#include "pyane/engine/request_graph.h"

namespace pyane {
namespace {

/// Bounds the memory that a thread keeps for its lists.
constexpr std::size_t kMostAtOnce = 1024;

/// How many of the first requests may run beside each other.
std::size_t n_small(std::span<const std::shared_ptr<Request>> requests) {
  const auto candidates = requests.first(std::min(requests.size(), kMostAtOnce));
  const auto large = std::ranges::find_if(
      candidates, [](const auto& request) { return request->footprint() == nullptr; });
  return static_cast<std::size_t>(large - candidates.begin());
}

}  // namespace

void evaluate_in_order(std::span<const std::shared_ptr<Request>> requests) {
  const bool overlaps = num_threads() > 1;
  while (!requests.empty()) {
    const std::size_t n = overlaps ? n_small(requests) : 0;
    if (n > 1) {
      thread_local RequestGraph graph;
      graph.evaluate(requests.first(n));
      requests = requests.subspan(n);
    } else {
      requests.front()->evaluate();
      requests = requests.subspan(1);
    }
  }
}

}  // namespace pyane
