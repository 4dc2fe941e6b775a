#include "pyane/emulator/kernels/attention_mask.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace pyane::emulator {
namespace {

using Index = std::int64_t;

/// A mask up to kHidden hides a key from a query that sees another one with a mask from kSeen on:
/// even rounded sums with scores of kLargeScore differ by thousands, and the exponential of that
/// is 0.
constexpr float kHidden = -8192.0F;
constexpr float kSeen = -1024.0F;
/// Larger ones, infinity and NaN might make all of a query's weights NaN.
constexpr float kLargest = 8192.0F;

/// Larger constant masks are put in order where they are needed, a few per cent of the time that
/// attention of that size takes: every layer of a model would have a copy.
constexpr Index kMaxPacked = Index{1} << 20;
/// What is hidden in larger ones is not looked for.
constexpr Index kMaxKnown = Index{1} << 25;

}  // namespace

AttentionMask::AttentionMask(const AttentionSpec& spec, const std::byte* data)
    : kernel_(linalg::active_gemm_kernel()),
      operand_(spec.mask),
      n_queries_(spec.n_queries),
      n_keys_(spec.n_keys),
      nr_(kernel_.nr),
      n_panels_((n_queries_ + nr_ - 1) / nr_) {
  if (data == nullptr) return;
  std::vector<Index> offsets;
  std::unordered_map<Index, Index> known;  // Heads may share a mask.
  for (const Index offset : operand_.offsets) {
    const auto [found, is_new] = known.try_emplace(offset, static_cast<Index>(offsets.size()));
    mask_of_head_.push_back(found->second);
    if (is_new) offsets.push_back(offset);
  }
  const Index n_all = static_cast<Index>(offsets.size()) * n_panels_;
  if (n_all > kMaxKnown / nr_ / n_keys_) return;
  const bool is_small = n_all <= kMaxPacked / nr_ / n_keys_;
  std::vector<float> panels(static_cast<std::size_t>((is_small ? n_all : 1) * n_keys_ * nr_));
  for (Index i = 0; i < n_all; ++i) {
    float* const panel = panels.data() + (is_small ? i * n_keys_ * nr_ : 0);
    const Index query = i % n_panels_ * nr_;
    pack_at(data, offsets[static_cast<std::size_t>(i / n_panels_)], query, panel);
    n_seen_.push_back(count_seen(panel, query));
  }
  if (is_small) panels_ = std::move(panels);
}

void AttentionMask::pack_at(const std::byte* data, Index offset, Index query, float* target) const {
  const Index n = std::min(nr_, n_queries_ - query);
  const Index first = offset + query * operand_.row_stride;
  if (operand_.dtype != DType::kBool) {
    const bool is_half = operand_.dtype == DType::kFp16;
    kernel_.pack_b({.data = data + first * (is_half ? 2 : 4),
                    .is_half = is_half,
                    .lane_stride = operand_.row_stride,
                    .k_stride = operand_.col_stride,
                    .lane_offsets = nullptr,
                    .k_offsets = nullptr},
                   static_cast<int>(n), n_keys_, target, 0);
    return;
  }
  for (Index key = 0; key < n_keys_; ++key) {
    for (Index lane = 0; lane < nr_; ++lane) {
      const Index at = first + lane * operand_.row_stride + key * operand_.col_stride;
      target[key * nr_ + lane] = lane < n && data[at] != std::byte{0} ? 1.0F : 0.0F;
    }
  }
}

Index AttentionMask::count_seen(const float* panel, Index query) const {
  const Index n_columns = std::min(nr_, n_queries_ - query);
  // Scores that are selected do not matter where they are not: hidden from all is NaN for all.
  std::vector<bool> sees_any(static_cast<std::size_t>(n_columns), !depends_on_scores());
  Index n_seen = 1;
  for (Index key = 0; key < n_keys_; ++key) {
    for (Index column = 0; column < n_columns; ++column) {
      const float value = panel[key * nr_ + column];
      if (depends_on_scores() && !(value <= kLargest)) return n_keys_;
      const bool is_hidden = depends_on_scores() ? value <= kHidden : value == 0.0F;
      if (!is_hidden) n_seen = key + 1;
      if (value >= kSeen) sees_any[static_cast<std::size_t>(column)] = true;
    }
  }
  return std::find(sees_any.begin(), sees_any.end(), false) == sees_any.end() ? n_seen : n_keys_;
}

}  // namespace pyane::emulator
