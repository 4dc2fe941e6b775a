#include "pyane/emulator/kernels/attention_tiles.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <utility>
#include <vector>

#include "pyane/base/divide.h"
#include "pyane/base/half.h"
#include "pyane/base/thread_pool.h"
#include "pyane/emulator/kernels/attention_mask.h"
#include "pyane/emulator/kernels/elements.h"
#include "pyane/emulator/scratch.h"
#include "pyane/linalg/gemm_kernel.h"

// Everything is turned over: a panel of queries, as many as a tile of the matrix product has
// columns, is the right side of key @ query^T. So scores come out with one column per query, the
// softmax runs down the columns without sums across vectors, and the weights are in the order in
// which value^T @ weights reads its right side: nothing is transposed or packed in between.
//
// Keys that a constant mask hides from a whole panel are left out where this cannot be told from
// the result: their weights are zero whatever their scores are.

namespace pyane::emulator {
namespace {

using Index = std::int64_t;
using linalg::GemmKernel;
using linalg::GemmOperand;
using linalg::GemmSource;
using linalg::GemmTarget;

/// Tasks: a number that any few threads share evenly, but none so small that giving it away and
/// packing keys and values for it show.
constexpr Index kWantedTasks = 12;
constexpr double kMinTaskProducts = 1 << 20;
/// About what one thread does, the softmax included.
constexpr double kProductsPerNanosecond = 32;
constexpr float kLargestHalf = 65504.0F;
/// Weights of as many keys as stay in the first-level cache while all of value goes by.
constexpr Index kWeightBytes = 32 * 1024;

/// One thread's memory, in floats from the start of its scratch.
struct Layout {
  Index keys = 0;
  Index values = 0;
  Index queries = 0;
  Index scores = 0;
  Index weights = 0;  ///< fp32 scores turn into them in place.
  Index mask = 0;
  Index softmax = 0;
  Index sums = 0;
  Index turned = 0;
  Index n_floats = 0;
};

class TiledAttention final : public Step {
 public:
  TiledAttention(AttentionSpec spec, const std::byte* mask)
      : spec_(std::move(spec)),
        kernel_(linalg::active_gemm_kernel()),
        table_(tile_table()),
        mask_(spec_, mask),
        n_panels_(divide_up(spec_.n_queries, kernel_.nr)),
        k_step_(std::max<Index>(1, kWeightBytes / 4 / kernel_.nr)) {
    // In fp64: sizes that nobody has the memory for may not overflow.
    const double products = static_cast<double>(spec_.n_queries) *
                            static_cast<double>(spec_.n_keys) *
                            static_cast<double>(spec_.width + spec_.value_width);
    const double most_tasks = std::min(static_cast<double>(divide_up(kWantedTasks, spec_.n_heads)),
                                       products / kMinTaskProducts);
    n_blocks_ = std::clamp<Index>(static_cast<Index>(most_tasks), 1, n_panels_);
    const double work = static_cast<double>(spec_.n_heads) * products / kProductsPerNanosecond;
    work_ = estimated_work(work);
    lay_out();
  }

  void run(const StepArguments& arguments) const override {
    const auto n_tasks = static_cast<std::size_t>(spec_.n_heads * n_blocks_);
    parallel_for(n_tasks, work_,
                 [&](std::size_t task) { run_task(static_cast<Index>(task), arguments); });
  }

  bool reads_input(std::size_t i) const override { return i != kMask || !mask_.is_packed(); }

 private:
  static constexpr std::size_t kMask = 3;

  bool is_half() const { return spec_.dtype == DType::kFp16; }

  void lay_out() {
    Index next = 0;
    const auto room = [&](Index n) {
      const Index at = next;
      next += round_up(n, 16);  // A cache line.
      return at;
    };
    const Index nr = kernel_.nr;
    const Index panel = spec_.n_keys * nr;
    layout_.keys = room(round_up(spec_.n_keys, kernel_.mr) * spec_.width);
    layout_.values = room(round_up(spec_.value_width, kernel_.mr) * spec_.n_keys);
    layout_.queries = room(nr * spec_.width);
    layout_.weights = room(panel);
    layout_.scores = is_half() ? room(divide_up(panel, 2)) : layout_.weights;
    layout_.mask = spec_.has_mask && !mask_.is_packed() ? room(panel) : 0;
    layout_.softmax = room((Index{kSumLanes} + 1) * nr);
    layout_.sums = room(round_up(spec_.value_width, kernel_.mr) * nr);
    layout_.turned = room(nr * nr);
    layout_.n_floats = next;
  }

  // ---- Packing

  static GemmSource source(const GemmOperand& x, Index head, const std::byte* data,
                           bool lanes_are_rows) {
    const bool is_half = x.dtype == DType::kFp16;
    return {.data = data + x.offsets[static_cast<std::size_t>(head)] * (is_half ? 2 : 4),
            .is_half = is_half,
            .lane_stride = lanes_are_rows ? x.row_stride : x.col_stride,
            .k_stride = lanes_are_rows ? x.col_stride : x.row_stride,
            .lane_offsets = nullptr,
            .k_offsets = nullptr};
  }

  static GemmSource from_lane(GemmSource source, Index lane) {
    const Index bytes = source.is_half ? 2 : 4;
    source.data = static_cast<const std::byte*>(source.data) + lane * source.lane_stride * bytes;
    return source;
  }

  /// Panels of mr lanes, one after the other.
  void pack_rows(const GemmSource& source, Index n_lanes, Index n_k, float* panels) const {
    const Index step = kernel_.a_group * kernel_.mr;
    for (Index lane = 0; lane < n_lanes; lane += step) {
      const auto n = static_cast<int>(std::min(step, n_lanes - lane));
      kernel_.pack_a(from_lane(source, lane), n, n_k, panels + lane * n_k, kernel_.mr * n_k);
    }
  }

  // ---- Some panels of queries of one head

  void run_task(Index task, const StepArguments& arguments) const {
    const Index head = task / n_blocks_;
    const Index block = task % n_blocks_;
    auto* const memory =
        reinterpret_cast<float*>(thread_scratch(static_cast<std::size_t>(layout_.n_floats) * 4));
    float* const keys = memory + layout_.keys;
    pack_rows(source(spec_.key, head, arguments.inputs[1].data, true), spec_.n_keys, spec_.width,
              keys);
    float* const values = memory + layout_.values;
    pack_rows(source(spec_.value, head, arguments.inputs[2].data, false), spec_.value_width,
              spec_.n_keys, values);
    // Zero weights add nothing, unless they meet infinities, or numbers so small that the sum of
    // products may be -0.
    const bool may_stop_early = spec_.value.dtype == DType::kFp16 && is_finite(values);
    const float key_norm = may_stop_early && mask_.is_known() ? largest_norm(keys) : 0.0F;
    for (Index panel = block * n_panels_ / n_blocks_; panel < (block + 1) * n_panels_ / n_blocks_;
         ++panel) {
      run_panel(head, panel, may_stop_early, key_norm, arguments, memory);
    }
  }

  /// Root of the sum of squares.
  float norm(const float* x, Index n) const {
    std::array<float, kSumLanes> lanes{};
    table_.add_squares_to_lanes(x, static_cast<std::size_t>(n), lanes.data());
    return std::sqrt(sum_lanes(lanes.data()));
  }

  /// Of a panel of keys: no key's is larger. Not finite if one of them is not.
  float largest_norm(const float* keys) const {
    const Index panel = kernel_.mr * spec_.width;
    float result = 0;
    for (Index key = 0; key < spec_.n_keys; key += kernel_.mr) {
      const float one = norm(keys + key * spec_.width, panel);
      if (!std::isfinite(one)) return one;
      result = std::max(result, one);
    }
    return result;
  }

  /// How many keys the queries of a panel look at. No score is larger than the product of norms;
  /// the errors of all these sums are far below a hundredth of it.
  Index count_seen(Index head, Index panel, float key_norm, const float* queries) const {
    const Index n_seen = mask_.n_seen(head, panel);
    if (n_seen == spec_.n_keys || !mask_.depends_on_scores()) return n_seen;
    float bound =
        1.01F * key_norm * norm(queries, kernel_.nr * spec_.width) * std::abs(spec_.product_scale);
    // Rounded to infinity, a score stays that however small the factor is.
    if (is_half() && !(bound <= kLargestHalf)) return spec_.n_keys;
    if (spec_.scaling == SoftmaxPanel::Scaling::kMultiply) bound *= std::abs(spec_.factor);
    if (spec_.scaling == SoftmaxPanel::Scaling::kDivide) bound /= std::abs(spec_.factor);
    return bound <= AttentionMask::kLargeScore ? n_seen : spec_.n_keys;
  }

  bool is_finite(const float* values) const {
    std::array<float, kSumLanes> lanes{};
    const Index n = round_up(spec_.value_width, kernel_.mr) * spec_.n_keys;
    table_.add_to_lanes(values, static_cast<std::size_t>(n), lanes.data());
    return std::all_of(lanes.begin(), lanes.end(), [](float sum) { return std::isfinite(sum); });
  }

  void run_panel(Index head, Index panel, bool may_stop_early, float key_norm,
                 const StepArguments& arguments, float* memory) const {
    const Index query = panel * kernel_.nr;
    const auto n_queries = static_cast<int>(std::min<Index>(kernel_.nr, spec_.n_queries - query));
    // Whole vectors, so that nothing undefined is computed with.
    const auto columns = static_cast<int>(std::min<Index>(kernel_.nr, round_up(n_queries, 16)));
    float* const queries = memory + layout_.queries;
    kernel_.pack_b(from_lane(source(spec_.query, head, arguments.inputs[0].data, true), query),
                   n_queries, spec_.width, queries, 0);
    const Index n_seen = may_stop_early && mask_.is_known()
                             ? count_seen(head, panel, key_norm, queries)
                             : spec_.n_keys;
    multiply_keys(n_seen, columns, memory);

    SoftmaxPanel softmax{.scores = memory + layout_.scores,
                         .weights = memory + layout_.weights,
                         .n_keys = static_cast<std::size_t>(n_seen),
                         .columns = static_cast<std::size_t>(columns),
                         .stride = static_cast<std::size_t>(kernel_.nr),
                         .scaling = spec_.scaling,
                         .factor = spec_.factor,
                         .memory = memory + layout_.softmax};
    if (spec_.has_mask) {
      softmax.mask = mask_panel(head, panel, arguments, memory);
      softmax.is_selected = spec_.mask.dtype == DType::kBool;
    }
    const std::size_t n_used =
        is_half() ? table_.soften_halves(softmax) : table_.soften_floats(softmax);

    if (spec_.stores_weights) {
      std::byte* const weights = element(spec_.weights, head, query, arguments.outputs[1].data);
      turn_over(memory + layout_.weights, n_seen, n_queries, weights, spec_.weights,
                memory + layout_.turned);
      clear_hidden(n_seen, n_queries, weights);
    }
    const Index n_keys = may_stop_early ? static_cast<Index>(n_used) : spec_.n_keys;
    multiply_values(n_keys, n_queries, columns,
                    element(spec_.out, head, query, arguments.outputs[0].data), memory);
  }

  const float* mask_panel(Index head, Index panel, const StepArguments& arguments,
                          float* memory) const {
    if (mask_.is_packed()) return mask_.panel(head, panel);
    float* const target = memory + layout_.mask;
    mask_.pack(arguments.inputs[kMask].data, head, panel, target);
    return target;
  }

  /// Scores of a panel: [n_keys, nr].
  void multiply_keys(Index n_keys, int columns, float* memory) const {
    auto* const scores = reinterpret_cast<std::byte*>(memory + layout_.scores);
    GemmTarget target{.data = nullptr,
                      .is_half = is_half(),
                      .row_stride = kernel_.nr,
                      .col_stride = 1,
                      .bias = nullptr,
                      .bias_is_half = false,
                      .bias_is_per_row = false,
                      .scale = spec_.product_scale};
    for (Index key = 0; key < n_keys; key += kernel_.mr) {
      const auto rows = static_cast<int>(std::min<Index>(kernel_.mr, n_keys - key));
      target.data = scores + key * kernel_.nr * (is_half() ? 2 : 4);
      kernel_.multiply(spec_.width, memory + layout_.keys + key * spec_.width,
                       memory + layout_.queries, nullptr, rows, columns, false, &target, nullptr);
    }
  }

  /// The result of a panel, from the weights of the first keys.
  void multiply_values(Index n_keys, int n_queries, int columns, std::byte* out,
                       float* memory) const {
    const bool is_row = spec_.out.row_stride == 1;  // Queries side by side.
    GemmTarget target{.data = nullptr,
                      .is_half = spec_.out.dtype == DType::kFp16,
                      .row_stride = spec_.out.col_stride,
                      .col_stride = 1,
                      .bias = nullptr,
                      .bias_is_half = false,
                      .bias_is_per_row = false};
    float* const sums = memory + layout_.sums;
    const float* const weights = memory + layout_.weights;
    for (Index key = 0; key < n_keys; key += k_step_) {
      const Index n = std::min(k_step_, n_keys - key);
      const bool is_stored = is_row && key + n == n_keys;
      for (Index row = 0; row < spec_.value_width; row += kernel_.mr) {
        const auto rows = static_cast<int>(std::min<Index>(kernel_.mr, spec_.value_width - row));
        target.data = out + row * spec_.out.col_stride * (target.is_half ? 2 : 4);
        const float* values = memory + layout_.values + row * spec_.n_keys + key * kernel_.mr;
        kernel_.multiply(n, values, weights + key * kernel_.nr, sums + row * kernel_.nr, rows,
                         is_stored ? n_queries : columns, key > 0, is_stored ? &target : nullptr,
                         nullptr);
      }
    }
    if (!is_row) {
      turn_over(sums, spec_.value_width, n_queries, out, spec_.out, memory + layout_.turned);
    }
  }

  static std::byte* element(const GemmOperand& x, Index head, Index row, std::byte* data) {
    const Index offset = x.offsets[static_cast<std::size_t>(head)] + row * x.row_stride;
    return data + offset * static_cast<Index>(dtype_size(x.dtype));
  }

  /// Weights of keys that no query of a panel sees.
  void clear_hidden(Index first, Index n_queries, std::byte* weights) const {
    const auto bytes = static_cast<Index>(dtype_size(spec_.weights.dtype));
    const Index stride = spec_.weights.col_stride * bytes;
    const Index n_together = stride == bytes ? spec_.n_keys - first : 1;
    for (Index query = 0; query < n_queries; ++query) {
      std::byte* const row = weights + query * spec_.weights.row_stride * bytes;
      for (Index key = first; key < spec_.n_keys; key += n_together) {
        std::fill_n(row + key * stride, n_together * bytes, std::byte{0});
      }
    }
  }

  /// Columns of [n_rows, nr] fp32 become rows of `layout` at `out`.
  void turn_over(const float* x, Index n_rows, Index n_columns, std::byte* out,
                 const GemmOperand& layout, float* turned) const {
    const auto bytes = static_cast<Index>(dtype_size(layout.dtype));
    for (Index first = 0; first < n_rows; first += kernel_.nr) {
      const auto n = std::min<Index>(kernel_.nr, n_rows - first);
      kernel_.pack_b({.data = x + first * kernel_.nr,
                      .is_half = false,
                      .lane_stride = kernel_.nr,
                      .k_stride = 1,
                      .lane_offsets = nullptr,
                      .k_offsets = nullptr},
                     static_cast<int>(n), n_columns, turned, 0);
      for (Index column = 0; column < n_columns; ++column) {
        const float* row = turned + column * kernel_.nr;
        std::byte* target = out + (column * layout.row_stride + first * layout.col_stride) * bytes;
        if (layout.col_stride == 1) {
          store_floats(layout.dtype, row, target, static_cast<std::size_t>(n));
          continue;
        }
        for (Index i = 0; i < n; ++i) {
          store_floats(layout.dtype, row + i, target + i * layout.col_stride * bytes, 1);
        }
      }
    }
  }

  AttentionSpec spec_;
  const GemmKernel& kernel_;
  const TileTable& table_;
  AttentionMask mask_;
  Index n_panels_;  ///< Of nr queries.
  Index k_step_;
  Index n_blocks_ = 1;  ///< Tasks of a head.
  std::chrono::nanoseconds work_{};
  Layout layout_;
};

}  // namespace

std::unique_ptr<Step> make_attention(AttentionSpec spec, const std::byte* mask) {
  return std::make_unique<TiledAttention>(std::move(spec), mask);
}

}  // namespace pyane::emulator
