#include "pyane/engine/request_list.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <exception>
#include <vector>

#include "pyane/base/thread_pool.h"

namespace pyane {
namespace {

/// Bounds the search for what a request depends on.
constexpr std::size_t kMostAtOnce = 32;

using Surfaces = std::vector<std::shared_ptr<Surface>>;

bool share_memory(const Surfaces& a, const Surfaces& b) {
  return std::any_of(a.begin(), a.end(), [&b](const auto& x) {
    return std::any_of(b.begin(), b.end(),
                       [&x](const auto& y) { return x->shares_memory_with(*y); });
  });
}

bool are_independent(const Footprint& a, const Footprint& b) {
  return !share_memory(a.writes, b.writes) && !share_memory(a.writes, b.reads) &&
         !share_memory(a.reads, b.writes);
}

/// How many of the first requests can run at the same time.
std::size_t batch_size(std::span<const std::shared_ptr<Request>> requests) {
  std::size_t n = 0;
  for (; n < std::min(requests.size(), kMostAtOnce); ++n) {
    const Footprint* const own = requests[n]->footprint();
    if (own == nullptr) break;
    const bool fits = std::ranges::all_of(requests.first(n), [own](const auto& other) {
      return are_independent(*other->footprint(), *own);
    });
    if (!fits) break;
  }
  return std::max<std::size_t>(n, 1);
}

}  // namespace

void evaluate_in_order(std::span<const std::shared_ptr<Request>> requests) {
  const bool overlaps = num_threads() > 1;
  while (!requests.empty()) {
    const std::size_t n = overlaps ? batch_size(requests) : 1;
    if (n == 1) {
      requests.front()->evaluate();
    } else {
      std::array<std::exception_ptr, kMostAtOnce> errors;
      parallel_for(n, [&](std::size_t i) {
        try {
          requests[i]->evaluate();
        } catch (...) {
          errors[i] = std::current_exception();
        }
      });
      for (const std::exception_ptr& error : errors) {
        if (error != nullptr) std::rethrow_exception(error);
      }
    }
    requests = requests.subspan(n);
  }
}

}  // namespace pyane
