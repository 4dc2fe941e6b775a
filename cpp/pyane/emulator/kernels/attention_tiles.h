#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "pyane/emulator/kernels/registry.h"
#include "pyane/linalg/gemm.h"

namespace pyane::emulator {

/// softmax(query key^T) value for a batch of heads. Matrices lie as GemmOperand says (without
/// row_offsets and col_offsets), one offset per head.
struct AttentionSpec {
  std::int64_t n_heads = 0;
  std::int64_t n_queries = 0;
  std::int64_t n_keys = 0;
  std::int64_t width = 0;          ///< Of query and key.
  std::int64_t value_width = 0;    ///< Of value and result.
  linalg::GemmOperand query = {};  ///< [n_queries, width]
  linalg::GemmOperand key = {};    ///< [n_keys, width]
  linalg::GemmOperand value = {};  ///< [n_keys, value_width]
  linalg::GemmOperand out = {};    ///< [n_queries, value_width]

  /// fp16: scores, what is done to them and weights are rounded to fp16, each operation by itself;
  /// fp32: they are not.
  DType dtype = DType::kFp16;
  /// Of the sums of query and key, before they are rounded.
  float product_scale = 1.0F;
  SoftmaxPanel::Scaling scaling = SoftmaxPanel::Scaling::kNone;  ///< Of the scores, by `factor`.
  float factor = 1.0F;

  /// [n_queries, n_keys], the step's fourth input: fp16 or fp32 numbers that are added to the
  /// scores, or bools that say which scores stay what they are, the others become -infinity.
  bool has_mask = false;
  linalg::GemmOperand mask = {};

  /// [n_queries, n_keys] of `dtype`, the step's second output: the weights are wanted, too.
  bool stores_weights = false;
  linalg::GemmOperand weights = {};
};

/// Fewer queries do not fill the vectors: as products one after the other they are no slower.
inline constexpr std::int64_t kFewQueries = 8;

/// A step with inputs query, key, value, maybe mask, and outputs result, maybe weights. Some
/// queries of one head at a time go all the way from products to result while their scores are in
/// the caches: the full matrix of scores is nowhere. Bits are those of the operations one after the
/// other. All dimensions must be positive.
///
/// @param mask  Its data if it is constant, else nullptr: put in order once.
std::unique_ptr<Step> make_attention(AttentionSpec spec, const std::byte* mask);

}  // namespace pyane::emulator
