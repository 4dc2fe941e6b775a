#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>
#include <utility>

#include "pyane/base/thread_pool.h"
#include "pyane/emulator/iteration.h"
#include "pyane/emulator/kernels/attention_tiles.h"
#include "pyane/emulator/kernels/elements.h"
#include "pyane/emulator/kernels/gemm.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/tile.h"
#include "pyane/emulator/scratch.h"

// scaled_dot_product_attention: softmax(query key^T / sqrt(E) + mask) value in one operation.
// Scores and weights stay fp32; the result is rounded once. The usual case is in
// attention_tiles.cpp; here is that of few queries, and of an engine's arithmetic: products of some
// heads, one after the other.

namespace pyane::emulator {
namespace {

/// Scores of as many heads as fit the caches are computed at once.
constexpr std::int64_t kScoreBytes = std::int64_t{1} << 20;

std::int64_t align(std::int64_t n_bytes) { return (n_bytes + 63) / 64 * 64; }

GemmOperand dense(DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t n) {
  GemmOperand operand{.dtype = dtype, .row_stride = columns, .col_stride = 1, .offsets = {}};
  for (std::int64_t i = 0; i < n; ++i) operand.offsets.push_back(i * rows * columns);
  return operand;
}

std::int64_t dim(const TensorLayout& x, int from_right) { return x.dim(x.rank - from_right); }

float scale_of(std::int64_t width) { return 1.0F / std::sqrt(static_cast<float>(width)); }

class Attention final : public Step {
 public:
  Attention(const PrepareContext& context, std::int64_t heads_at_once)
      : dtype_(context.inputs[0].dtype),
        n_queries_(dim(context.inputs[0], 2)),
        width_(dim(context.inputs[0], 1)),
        n_keys_(dim(context.inputs[1], 2)),
        value_width_(dim(context.inputs[2], 1)),
        n_heads_(count_heads(context.inputs[0])),
        at_once_(heads_at_once),
        scores_(score_spec(context)),
        results_(result_spec(context)),
        is_scaled_(hardware::mac_unit(context, 0, 1, width_) == nullptr),
        table_(tile_table()) {
    const TensorView& mask = context.inputs[3];
    has_mask_ = !mask.is_absent();
    if (!has_mask_) return;
    mask_dtype_ = mask.dtype;
    Shape dims = context.inputs[0].shape();
    dims.back() = n_keys_;
    mask_layout_ = broadcast_to(mask, dims);
  }

  static std::int64_t count_heads(const TensorLayout& query) {
    std::int64_t n = 1;
    for (int i = 0; i < query.rank - 2; ++i) n *= query.dim(i);
    return n;
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(score_bytes()) +
           std::max(scores_.scratch_bytes(), results_.scratch_bytes());
  }

  void run(const StepArguments& arguments) const override {
    auto* scores = reinterpret_cast<float*>(arguments.scratch);
    std::byte* scratch = arguments.scratch + score_bytes();
    const auto bytes = static_cast<std::int64_t>(dtype_size(dtype_));
    for (std::int64_t head = 0; head < n_heads_; head += at_once_) {
      const std::byte* query = arguments.inputs[0].data + head * n_queries_ * width_ * bytes;
      const std::byte* key = arguments.inputs[1].data + head * n_keys_ * width_ * bytes;
      const std::byte* value = arguments.inputs[2].data + head * n_keys_ * value_width_ * bytes;
      std::byte* out = arguments.outputs[0].data + head * n_queries_ * value_width_ * bytes;
      scores_.run(query, key, nullptr, scores, scratch);
      const auto body = [&](std::size_t row) {
        soften(arguments, head * n_queries_ + static_cast<std::int64_t>(row),
               scores + static_cast<std::int64_t>(row) * n_keys_);
      };
      parallel_for(static_cast<std::size_t>(at_once_ * n_queries_), body);
      results_.run(scores, value, nullptr, out, scratch);
    }
  }

 private:
  std::int64_t score_bytes() const { return align(at_once_ * n_queries_ * n_keys_ * 4); }

  GemmSpec score_spec(const PrepareContext& context) const {
    GemmSpec spec{{.m = n_queries_, .n = n_keys_, .k = width_}};
    spec.a = dense(dtype_, n_queries_, width_, at_once_);
    spec.b = dense(dtype_, n_keys_, width_, at_once_);
    std::swap(spec.b.row_stride, spec.b.col_stride);
    spec.c = dense(DType::kFp32, n_queries_, n_keys_, at_once_);
    spec.unit = hardware::mac_unit(context, 0, 1, width_);
    if (spec.unit == nullptr) spec.scale = scale();  // Else `soften` does it.
    return spec;
  }

  GemmSpec result_spec(const PrepareContext& context) const {
    GemmSpec spec{{.m = n_queries_, .n = value_width_, .k = n_keys_}};
    spec.a = dense(DType::kFp32, n_queries_, n_keys_, at_once_);
    spec.b = dense(dtype_, n_keys_, value_width_, at_once_);
    spec.c = dense(dtype_, n_queries_, value_width_, at_once_);
    spec.unit = hardware::mac_unit(context, 0, 2, n_keys_);
    return spec;
  }

  /// Scores of one query to weights, in place.
  void soften(const StepArguments& arguments, std::int64_t row, float* scores) const {
    const auto n = static_cast<std::size_t>(n_keys_);
    if (!is_scaled_) table_.scale(scores, scale(), n);
    if (has_mask_) add_mask(arguments.inputs[3].data, row, scores);
    table_.exp_shifted(scores, table_.largest(scores, n), n);
    std::array<float, kSumLanes> lanes{};
    table_.add_to_lanes(scores, n, lanes.data());
    table_.scale(scores, 1.0F / sum_lanes(lanes.data()), n);
  }

  void add_mask(const std::byte* mask, std::int64_t row, float* scores) const {
    std::int64_t offset = 0;
    for (int i = mask_layout_.rank - 1; i-- > 0;) {
      offset += row % mask_layout_.dim(i) * mask_layout_.stride(i);
      row /= mask_layout_.dim(i);
    }
    const std::int64_t stride = mask_layout_.stride(mask_layout_.rank - 1);
    const auto bytes = static_cast<std::int64_t>(dtype_size(mask_dtype_));
    mask += offset * bytes;
    std::array<float, 256> values{};
    constexpr auto kMost = static_cast<std::int64_t>(std::tuple_size_v<decltype(values)>);
    for (std::int64_t first = 0; first < n_keys_; first += kMost) {
      const auto n = static_cast<std::size_t>(std::min(kMost, n_keys_ - first));
      if (stride == 1) {
        load_floats(mask_dtype_, mask + first * bytes, values.data(), n);
      } else {
        float value = 0;
        load_floats(mask_dtype_, mask, &value, 1);  // Broadcast, or one key.
        std::fill_n(values.begin(), n, value);
      }
      float* part = scores + first;
      if (mask_dtype_ != DType::kBool) {
        table_.add_rows(values.data(), part, n);
        continue;
      }
      for (std::size_t i = 0; i < n; ++i) part[i] = values[i] != 0 ? part[i] : -INFINITY;
    }
  }

  float scale() const { return scale_of(width_); }

  DType dtype_;
  std::int64_t n_queries_;
  std::int64_t width_;
  std::int64_t n_keys_;
  std::int64_t value_width_;
  std::int64_t n_heads_;
  std::int64_t at_once_;
  Gemm scores_;
  Gemm results_;
  bool is_scaled_;  ///< The product of query and key multiplies by scale().
  const TileTable& table_;
  bool has_mask_ = false;
  DType mask_dtype_ = DType::kFp16;
  TensorLayout mask_layout_;
};

std::unique_ptr<Step> prepare_tiles(const PrepareContext& context) {
  const TensorLayout& query = context.inputs[0];
  const DType dtype = query.dtype;
  AttentionSpec spec{.n_heads = Attention::count_heads(query),
                     .n_queries = dim(query, 2),
                     .n_keys = dim(context.inputs[1], 2),
                     .width = dim(query, 1),
                     .value_width = dim(context.inputs[2], 1)};
  spec.query = dense(dtype, spec.n_queries, spec.width, spec.n_heads);
  spec.key = dense(dtype, spec.n_keys, spec.width, spec.n_heads);
  spec.value = dense(dtype, spec.n_keys, spec.value_width, spec.n_heads);
  spec.out = dense(dtype, spec.n_queries, spec.value_width, spec.n_heads);
  spec.dtype = DType::kFp32;
  spec.product_scale = scale_of(spec.width);
  const TensorView& mask = context.inputs[3];
  if (mask.is_absent()) return make_attention(std::move(spec), nullptr);
  Shape dims = query.shape();
  dims.back() = spec.n_keys;
  const TensorLayout layout = broadcast_to(mask, dims);
  TensorLayout heads = layout;
  heads.rank -= 2;
  spec.has_mask = true;
  spec.mask = {.dtype = mask.dtype,
               .row_stride = layout.stride(layout.rank - 2),
               .col_stride = layout.stride(layout.rank - 1),
               .offsets = broadcast_offsets(heads, heads)};
  return make_attention(std::move(spec), mask.data);
}

std::unique_ptr<Step> prepare_attention(const PrepareContext& context) {
  const TensorLayout& query = context.inputs[0];
  const std::int64_t n_heads = Attention::count_heads(query);
  const std::int64_t n_queries = query.dim(query.rank - 2);
  const std::int64_t n_keys = context.inputs[1].dim(query.rank - 2);
  constexpr std::int64_t kMaxScores = std::int64_t{1} << 38;
  if (n_queries > kMaxScores / n_keys) {
    context.op.fail("the emulator holds " + std::to_string(kMaxScores) +
                    " scores of one head at most, got " + std::to_string(n_queries) +
                    " queries and " + std::to_string(n_keys) + " keys");
  }
  const bool is_exact = hardware::mac_unit(context, 0, 1, dim(query, 1)) == nullptr &&
                        hardware::mac_unit(context, 0, 2, n_keys) == nullptr;
  if (is_exact && n_queries >= kFewQueries) return prepare_tiles(context);
  const std::int64_t bytes_per_head = n_queries * n_keys * 4;
  std::int64_t at_once = std::clamp<std::int64_t>(kScoreBytes / bytes_per_head, 1, n_heads);
  while (n_heads % at_once != 0) --at_once;
  return std::make_unique<Attention>(context, at_once);
}

}  // namespace

std::span<const KernelRecord> attention_kernels() {
  static const std::vector<KernelRecord> records = {
      {.op = "scaled_dot_product_attention",
       .operands = {"query", "key", "value", "attn_mask"},
       .prepare = prepare_attention},
  };
  return records;
}

}  // namespace pyane::emulator
