#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "pyane/base/half.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/rows.h"
#include "pyane/emulator/scratch.h"

// Reductions over any axes. Floating-point sums follow the fixed order of tile.h: element k of the
// reduced axes (row-major) goes to lane k % 32, the lanes are added pairwise.

namespace pyane::emulator {
namespace {

using mil::OpContext;

enum class Reduction : std::uint8_t {
  kL1Norm,
  kL2Norm,
  kLogSum,
  kLogSumExp,
  kMax,
  kMean,
  kMin,
  kProd,
  kSum,
  kSumSquare,
};

/// Elements converted at a time, a multiple of kSumLanes.
constexpr std::int64_t kChunk = 2048;
/// Rows worked on together when they are neighbours in memory.
constexpr std::int64_t kColumns = 128;

std::vector<std::int64_t> reduced_axes(const OpContext& op, int rank) {
  std::vector<std::int64_t> axes;
  if (!op.has("axes")) {
    for (int i = 0; i < rank; ++i) axes.push_back(i);
    return axes;
  }
  for (const std::int64_t axis : op.integers("axes")) axes.push_back(axis < 0 ? axis + rank : axis);
  return axes;
}

class FloatReduction final : public Step {
 public:
  FloatReduction(const PrepareContext& context, Reduction kind)
      : rows_(context.inputs[0], reduced_axes(context.op, context.inputs[0].rank)),
        kind_(kind),
        table_(tile_table()) {}

  void run(const StepArguments& arguments) const override {
    const std::byte* x = arguments.inputs[0].data;
    const TensorView& out = arguments.outputs[0];
    const bool is_simple = kind_ != Reduction::kLogSumExp && kind_ != Reduction::kProd;
    if (is_simple && rows_.prefers_columns()) {
      const std::int64_t run = rows_.rows_per_run();
      const std::int64_t blocks_per_run = (run + kColumns - 1) / kColumns;
      const std::int64_t n_blocks = rows_.n_rows() / run * blocks_per_run;
      for_each_row(n_blocks, rows_.length() * kColumns, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t block = begin; block < end; ++block) {
          const std::int64_t column = block % blocks_per_run * kColumns;
          const std::int64_t row = block / blocks_per_run * run + column;
          reduce_columns(x, row, std::min(kColumns, run - column), out);
        }
      });
      return;
    }
    for_each_row(rows_.n_rows(), rows_.length(), [&](std::int64_t begin, std::int64_t end) {
      auto* chunk = reinterpret_cast<float*>(thread_scratch(kChunk * sizeof(float)));
      std::array<float, 64> results;
      for (std::int64_t row = begin; row < end;) {
        const std::int64_t n = std::min<std::int64_t>(end - row, results.size());
        for (std::int64_t i = 0; i < n; ++i) {
          results[static_cast<std::size_t>(i)] = reduce_row(x, rows_.offset(row + i), chunk);
        }
        store(results.data(), out, row, n);
        row += n;
      }
    });
  }

 private:
  static void store(const float* results, const TensorView& out, std::int64_t row, std::int64_t n) {
    if (out.dtype == DType::kFp16) {
      float_to_half(results, out.as<half_bits>() + row, static_cast<std::size_t>(n));
    } else {
      std::copy_n(results, n, out.as<float>() + row);
    }
  }

  bool is_extreme() const { return kind_ == Reduction::kMax || kind_ == Reduction::kMin; }

  /// What is summed up (or maximised; the minimum is the negated maximum of the negated).
  void map(float* values, std::int64_t n) const {
    switch (kind_) {
      case Reduction::kL1Norm:
        for (std::int64_t i = 0; i < n; ++i) values[i] = std::fabs(values[i]);
        return;
      case Reduction::kL2Norm:
      case Reduction::kSumSquare:
        for (std::int64_t i = 0; i < n; ++i) values[i] *= values[i];
        return;
      case Reduction::kMin:
        for (std::int64_t i = 0; i < n; ++i) values[i] = -values[i];
        return;
      default:
        return;
    }
  }

  float finish(float value) const { return reduced_value(finished(value), is_extreme()); }

  float finished(float value) const {
    switch (kind_) {
      case Reduction::kMean:
        return value / static_cast<float>(rows_.length());
      case Reduction::kL2Norm:
        return std::sqrt(value);
      case Reduction::kLogSum:
        return static_cast<float>(std::log(static_cast<double>(value)));
      case Reduction::kMin:
        return -value;
      default:
        return value;
    }
  }

  float reduce_row(const std::byte* x, std::int64_t offset, float* chunk) const {
    if (kind_ == Reduction::kLogSumExp) return log_sum_exp(x, offset, chunk);
    std::array<float, kSumLanes> lanes;
    const bool is_product = kind_ == Reduction::kProd;
    lanes.fill(is_extreme() ? -std::numeric_limits<float>::infinity() : (is_product ? 1.0F : 0.0F));
    for (std::int64_t k = 0; k < rows_.length(); k += kChunk) {
      const std::int64_t n = std::min(kChunk, rows_.length() - k);
      rows_.load(x, offset, k, n, chunk);
      map(chunk, n);
      const auto count = static_cast<std::size_t>(n);
      if (is_extreme()) {
        const std::array<float, 1> largest = {table_.largest(chunk, count)};
        table_.max_rows(largest.data(), lanes.data(), 1);
      } else if (is_product) {
        for (std::size_t i = 0; i < count; ++i) lanes[i % kSumLanes] *= chunk[i];
      } else {
        table_.add_to_lanes(chunk, count, lanes.data());
      }
    }
    if (is_extreme()) return finish(lanes[0]);
    if (!is_product) return finish(sum_lanes(lanes.data()));
    for (std::size_t width = kSumLanes / 2; width > 0; width /= 2) {
      for (std::size_t i = 0; i < width; ++i) lanes[i] *= lanes[i + width];
    }
    return lanes[0];
  }

  float log_sum_exp(const std::byte* x, std::int64_t offset, float* chunk) const {
    float largest = -std::numeric_limits<float>::infinity();
    std::array<float, kSumLanes> lanes{};
    for (const bool is_first : {true, false}) {
      // An infinite maximum is the result; subtracting it would give NaN.
      if (!is_first && std::isinf(largest)) return largest;
      for (std::int64_t k = 0; k < rows_.length(); k += kChunk) {
        const std::int64_t n = std::min(kChunk, rows_.length() - k);
        const auto count = static_cast<std::size_t>(n);
        rows_.load(x, offset, k, n, chunk);
        if (is_first) {
          const float candidate = table_.largest(chunk, count);
          table_.max_rows(&candidate, &largest, 1);
        } else {
          table_.exp_shifted(chunk, largest, count);
          table_.add_to_lanes(chunk, count, lanes.data());
        }
      }
    }
    return largest + static_cast<float>(std::log(static_cast<double>(sum_lanes(lanes.data()))));
  }

  void reduce_columns(const std::byte* x, std::int64_t row, std::int64_t n_columns,
                      const TensorView& out) const {
    const auto n = static_cast<std::size_t>(n_columns);
    auto* lanes = reinterpret_cast<float*>(
        thread_scratch((kSumLanes + 1) * static_cast<std::size_t>(kColumns) * sizeof(float)));
    float* values = lanes + kSumLanes * static_cast<std::size_t>(kColumns);
    const auto lane = [&](std::size_t i) { return lanes + i * static_cast<std::size_t>(kColumns); };
    const bool is_max = is_extreme();
    const std::size_t n_lanes = is_max ? 1 : kSumLanes;
    std::fill_n(lanes, n_lanes * static_cast<std::size_t>(kColumns),
                is_max ? -std::numeric_limits<float>::infinity() : 0.0F);
    const std::int64_t offset = rows_.offset(row);
    const auto bytes = static_cast<std::int64_t>(dtype_size(rows_.dtype()));
    for (std::int64_t k = 0; k < rows_.length(); ++k) {
      const std::byte* source = x + (offset + rows_.element_offset(k)) * bytes;
      if (rows_.dtype() == DType::kFp16) {
        half_to_float(reinterpret_cast<const half_bits*>(source), values, n);
      } else {
        std::memcpy(values, source, n * sizeof(float));
      }
      map(values, n_columns);
      if (is_max) {
        table_.max_rows(values, lanes, n);
      } else {
        table_.add_rows(values, lane(static_cast<std::size_t>(k) % kSumLanes), n);
      }
    }
    for (std::size_t width = n_lanes / 2; width > 0; width /= 2) {
      for (std::size_t i = 0; i < width; ++i) table_.add_rows(lane(i + width), lane(i), n);
    }
    for (std::size_t i = 0; i < n; ++i) lanes[i] = finish(lanes[i]);
    store(lanes, out, row, n_columns);
  }

  Rows rows_;
  Reduction kind_;
  const TileTable& table_;
};

/// int32, exact modulo 2^32; the mean, and what has a root or a logarithm (worked out in fp64), is
/// rounded towards zero and saturates.
class IntReduction final : public Step {
 public:
  IntReduction(const PrepareContext& context, Reduction kind)
      : rows_(context.inputs[0], reduced_axes(context.op, context.inputs[0].rank)), kind_(kind) {}

  void run(const StepArguments& arguments) const override {
    const std::byte* x = arguments.inputs[0].data;
    auto* out = arguments.outputs[0].as<std::int32_t>();
    for_each_row(rows_.n_rows(), rows_.length(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        out[row] = is_real() ? towards_zero(reduce_real(x, rows_.offset(row)))
                             : static_cast<std::int32_t>(reduce(x, rows_.offset(row)));
      }
    });
  }

 private:
  bool is_real() const {
    return kind_ == Reduction::kL2Norm || kind_ == Reduction::kLogSum ||
           kind_ == Reduction::kLogSumExp;
  }

  static std::int32_t towards_zero(double value) {
    if (std::isnan(value)) return 0;
    return static_cast<std::int32_t>(std::clamp(value, -0x1p31, 0x1p31 - 1));
  }

  double reduce_real(const std::byte* x, std::int64_t offset) const {
    double largest = -std::numeric_limits<double>::infinity();
    for (std::int64_t k = 0; k < rows_.length(); ++k) {
      largest = std::max(largest, static_cast<double>(rows_.load_integer(x, offset, k)));
    }
    double sum = 0.0;
    for (std::int64_t k = 0; k < rows_.length(); ++k) {
      const auto value = static_cast<double>(rows_.load_integer(x, offset, k));
      sum += kind_ == Reduction::kL2Norm   ? value * value
             : kind_ == Reduction::kLogSum ? value
                                           : std::exp(value - largest);
    }
    if (kind_ == Reduction::kL2Norm) return std::sqrt(sum);
    return kind_ == Reduction::kLogSum ? std::log(sum) : largest + std::log(sum);
  }

  std::int64_t reduce(const std::byte* x, std::int64_t offset) const {
    std::int64_t result = kind_ == Reduction::kProd  ? 1
                          : kind_ == Reduction::kMax ? std::numeric_limits<std::int32_t>::min()
                          : kind_ == Reduction::kMin ? std::numeric_limits<std::int32_t>::max()
                                                     : 0;
    for (std::int64_t k = 0; k < rows_.length(); ++k) {
      const std::int64_t value = rows_.load_integer(x, offset, k);
      switch (kind_) {
        case Reduction::kL1Norm:
          result += std::abs(value);
          break;
        case Reduction::kMax:
          result = std::max(result, value);
          break;
        case Reduction::kMin:
          result = std::min(result, value);
          break;
        case Reduction::kProd:
          result = static_cast<std::int32_t>(static_cast<std::uint64_t>(result) *
                                             static_cast<std::uint64_t>(value));
          break;
        case Reduction::kSumSquare:
          result = static_cast<std::int32_t>(static_cast<std::uint64_t>(result) +
                                             static_cast<std::uint64_t>(value * value));
          break;
        default:
          result += value;
      }
    }
    return kind_ == Reduction::kMean && rows_.length() > 0 ? result / rows_.length() : result;
  }

  Rows rows_;
  Reduction kind_;
};

template <Reduction kKind>
std::unique_ptr<Step> prepare(const PrepareContext& context) {
  if (is_float(context.inputs[0].dtype)) return std::make_unique<FloatReduction>(context, kKind);
  return std::make_unique<IntReduction>(context, kKind);
}

/// Index of the largest (smallest) element along one axis, the first of equals; a NaN wins.
class ArgReduction final : public Step {
 public:
  ArgReduction(const PrepareContext& context, bool is_min)
      : rows_(context.inputs[0],
              {context.op.axis("axis", static_cast<std::size_t>(context.inputs[0].rank))}),
        is_min_(is_min) {}

  void run(const StepArguments& arguments) const override {
    const std::byte* x = arguments.inputs[0].data;
    const TensorView& out = arguments.outputs[0];
    for_each_row(rows_.n_rows(), rows_.length(), [&](std::int64_t begin, std::int64_t end) {
      auto* chunk = reinterpret_cast<float*>(thread_scratch(kChunk * sizeof(float)));
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t offset = rows_.offset(row);
        const std::int64_t index =
            is_float(rows_.dtype()) ? of_floats(x, offset, chunk) : of_integers(x, offset);
        if (out.dtype == DType::kUint16) {
          out.as<std::uint16_t>()[row] = static_cast<std::uint16_t>(index);
        } else {
          out.as<std::int32_t>()[row] = static_cast<std::int32_t>(index);
        }
      }
    });
  }

 private:
  std::int64_t of_floats(const std::byte* x, std::int64_t offset, float* chunk) const {
    std::int64_t best_index = 0;
    float best = 0.0F;
    for (std::int64_t k = 0; k < rows_.length(); k += kChunk) {
      const std::int64_t n = std::min(kChunk, rows_.length() - k);
      rows_.load(x, offset, k, n, chunk);
      for (std::int64_t i = 0; i < n; ++i) {
        if (std::isnan(chunk[i])) return k + i;
        const bool is_better = is_min_ ? chunk[i] < best : chunk[i] > best;
        if (is_better || k + i == 0) {
          best = chunk[i];
          best_index = k + i;
        }
      }
    }
    return best_index;
  }

  std::int64_t of_integers(const std::byte* x, std::int64_t offset) const {
    std::int64_t best_index = 0;
    std::int64_t best = 0;
    for (std::int64_t k = 0; k < rows_.length(); ++k) {
      const std::int64_t value = rows_.load_integer(x, offset, k);
      if (k == 0 || (is_min_ ? value < best : value > best)) {
        best = value;
        best_index = k;
      }
    }
    return best_index;
  }

  Rows rows_;
  bool is_min_;
};

template <bool kIsMin>
std::unique_ptr<Step> prepare_arg(const PrepareContext& context) {
  return std::make_unique<ArgReduction>(context, kIsMin);
}

KernelRecord record(std::string_view op, Prepare prepare_step,
                    AxisForm along_axis = AxisForm::kNone) {
  return {.op = op,
          .operands = {"x"},
          .prepare = prepare_step,
          .strided_inputs = true,
          .along_axis = along_axis};
}

}  // namespace

std::span<const KernelRecord> reduction_kernels() {
  static const KernelRecord records[] = {
      record("reduce_argmax", prepare_arg<false>),
      record("reduce_argmin", prepare_arg<true>),
      record("reduce_l1_norm", prepare<Reduction::kL1Norm>),
      record("reduce_l2_norm", prepare<Reduction::kL2Norm>, AxisForm::kL2Norm),
      record("reduce_log_sum", prepare<Reduction::kLogSum>),
      record("reduce_log_sum_exp", prepare<Reduction::kLogSumExp>),
      record("reduce_max", prepare<Reduction::kMax>, AxisForm::kMax),
      record("reduce_mean", prepare<Reduction::kMean>, AxisForm::kMean),
      record("reduce_min", prepare<Reduction::kMin>),
      record("reduce_prod", prepare<Reduction::kProd>),
      record("reduce_sum", prepare<Reduction::kSum>, AxisForm::kSum),
      record("reduce_sum_square", prepare<Reduction::kSumSquare>, AxisForm::kSumSquare),
  };
  return records;
}

}  // namespace pyane::emulator
