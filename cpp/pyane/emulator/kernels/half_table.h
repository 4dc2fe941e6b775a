#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "pyane/base/half.h"
#include "pyane/emulator/kernels/registry.h"

// A function of one fp16 number has 65536 results: for long functions looking them up is shorter.

namespace pyane::emulator {

inline constexpr std::size_t kHalfs = 65536;

/// Results by the bits of the operand.
using HalfTable = std::array<half_bits, kHalfs>;

/// Of a floating-point function of one operand: the bits of TileTable::half_functions.
HalfTable tabulate(const TileNode& node);

/// Tables in use, each of which exists once. Safe to share between threads.
template <typename Key>
class HalfTableCache {
 public:
  /// The table of `key`, made by `make()` unless somebody has it.
  template <typename Make>
  std::shared_ptr<const HalfTable> find_or_make(const Key& key, const Make& make) {
    const std::lock_guard lock(mutex_);
    std::erase_if(tables_, [](const auto& known) { return known.second.expired(); });
    if (auto table = tables_[key].lock()) return table;
    std::shared_ptr<const HalfTable> table = std::make_shared<HalfTable>(make());
    tables_[key] = table;
    return table;
  }

 private:
  std::mutex mutex_;
  std::map<Key, std::weak_ptr<const HalfTable>> tables_;
};

/// Whether `n` elements are looked up in less time than computed, the making of the table
/// included after a few evaluations.
bool is_worth_table(TileOp op, std::int64_t n);

/// tabulate(node), shared by all kernels.
std::shared_ptr<const HalfTable> shared_table(const TileNode& node);

/// About how long 16 elements of an fp16 operation take one thread, computed in the vectors in use,
/// and looked up, in ns (docs/performance.md).
int nanoseconds_computed(TileOp op);
inline constexpr int kNanosecondsLookedUp = 10;

}  // namespace pyane::emulator
