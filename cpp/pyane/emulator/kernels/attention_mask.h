#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pyane/emulator/kernels/attention_tiles.h"
#include "pyane/linalg/gemm_kernel.h"

namespace pyane::emulator {

/// The mask of an attention in panels of nr queries (GemmKernel::nr), [n_keys, nr] fp32 each;
/// columns without a query are zero. Of a constant one it is known which keys no query of a panel
/// sees; a small one is put in order once.
class AttentionMask {
 public:
  /// Scores up to this magnitude do not bring back what a mask of -8192 and less hides.
  static constexpr float kLargeScore = 2048.0F;

  /// @param data  Of a constant mask, else nullptr.
  AttentionMask(const AttentionSpec& spec, const std::byte* data);

  /// The panels are here; else `pack` has to make them every time.
  bool is_packed() const { return !panels_.empty(); }
  /// n_seen can be asked.
  bool is_known() const { return !n_seen_.empty(); }
  const float* panel(std::int64_t head, std::int64_t panel) const {
    return panels_.data() + index(head, panel) * n_keys_ * nr_;
  }
  void pack(const std::byte* data, std::int64_t head, std::int64_t panel, float* target) const {
    pack_at(data, operand_.offsets[static_cast<std::size_t>(head)], panel * nr_, target);
  }

  /// After how many keys all weights of a panel are zero (or NaN with the others of their query)
  /// for sure, at least 1: provided that no score is larger than kLargeScore, if
  /// `depends_on_scores`.
  std::int64_t n_seen(std::int64_t head, std::int64_t panel) const {
    return n_seen_[static_cast<std::size_t>(index(head, panel))];
  }
  bool depends_on_scores() const { return operand_.dtype != DType::kBool; }

 private:
  std::int64_t index(std::int64_t head, std::int64_t panel) const {
    return mask_of_head_[static_cast<std::size_t>(head)] * n_panels_ + panel;
  }
  void pack_at(const std::byte* data, std::int64_t offset, std::int64_t query, float* target) const;
  std::int64_t count_seen(const float* panel, std::int64_t query) const;

  const linalg::GemmKernel& kernel_;
  linalg::GemmOperand operand_;
  std::int64_t n_queries_;
  std::int64_t n_keys_;
  std::int64_t nr_;
  std::int64_t n_panels_;
  std::vector<std::int64_t> mask_of_head_;
  std::vector<float> panels_;
  std::vector<std::int64_t> n_seen_;
};

}  // namespace pyane::emulator
