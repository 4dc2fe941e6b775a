#include <algorithm>
#include <array>
#include <cmath>

#include "pyane/base/half.h"
#include "pyane/emulator/kernels/float_row.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/rows.h"
#include "pyane/emulator/scratch.h"

// Operations that scale rows of a tensor by statistics of the row. A row is converted to fp32, all
// arithmetic is fp32, the result is rounded once. Sums follow the fixed order of tile.h.

namespace pyane::emulator {
namespace {

using mil::OpContext;

/// fp32 values of a contiguous fp16 or fp32 constant; empty when it is absent.
std::vector<float> floats(const TensorView& constant) {
  if (constant.is_absent()) return {};
  std::vector<float> values(static_cast<std::size_t>(constant.count()));
  if (constant.dtype == DType::kFp16) {
    half_to_float(constant.as<const half_bits>(), values.data(), values.size());
  } else {
    std::copy_n(constant.as<const float>(), values.size(), values.data());
  }
  return values;
}

/// Evaluates one row at a time in fp32, from `x` to `out`, both of any strides.
class RowStep : public Step {
 public:
  RowStep(const PrepareContext& context, const std::vector<std::int64_t>& axes)
      : from_(context.inputs[0], axes), to_(context.outputs[0], axes), table_(tile_table()) {}

  void run(const StepArguments& arguments) const override {
    const std::byte* x = arguments.inputs[0].data;
    std::byte* out = arguments.outputs[0].data;
    for_each_row(from_.n_rows(), from_.length(), [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t n = from_.length();
      auto* values = reinterpret_cast<float*>(
          thread_scratch(static_cast<std::size_t>(std::max<std::int64_t>(n, 1)) * sizeof(float)));
      for (std::int64_t row = begin; row < end; ++row) {
        from_.load(x, from_.offset(row), 0, n, values);
        evaluate(row, values, static_cast<std::size_t>(n));
        to_.store(values, out, to_.offset(row), 0, n);
      }
    });
  }

 protected:
  virtual void evaluate(std::int64_t row, float* values, std::size_t n) const = 0;
  const TileTable& table() const { return table_; }

  float sum(const float* values, std::size_t n) const {
    std::array<float, kSumLanes> lanes{};
    table_.add_to_lanes(values, n, lanes.data());
    return sum_lanes(lanes.data());
  }
  float sum_of_squares(const float* values, std::size_t n) const {
    std::array<float, kSumLanes> lanes{};
    table_.add_squares_to_lanes(values, n, lanes.data());
    return sum_lanes(lanes.data());
  }

 private:
  Rows from_;
  Rows to_;
  const TileTable& table_;
};

class Softmax final : public RowStep {
 public:
  explicit Softmax(const PrepareContext& context)
      : RowStep(context,
                {context.op.axis("axis", static_cast<std::size_t>(context.inputs[0].rank))}) {}

 private:
  void evaluate(std::int64_t, float* values, std::size_t n) const override {
    table().exp_shifted(values, reduced_value(table().largest(values, n), true), n);
    table().scale(values, 1.0F / reduced_value(sum(values, n), false), n);
  }
};

/// (x - mean) / sqrt(variance + epsilon) * gamma + beta, mean and (biased) variance over the row.
class MeanVarianceNorm final : public RowStep {
 public:
  MeanVarianceNorm(const PrepareContext& context, const std::vector<std::int64_t>& axes,
                   bool is_per_channel)
      : RowStep(context, axes),
        gamma_(floats(context.inputs[1])),
        beta_(floats(context.inputs[2])),
        epsilon_(static_cast<float>(context.op.real("epsilon"))),
        n_channels_(is_per_channel ? context.inputs[0].dim(1) : 0) {}

  bool reads_input(std::size_t i) const override { return i == 0; }

 private:
  void evaluate(std::int64_t row, float* values, std::size_t n) const override {
    const auto count = static_cast<float>(n);
    const float mean = sum(values, n) / count;
    for (std::size_t i = 0; i < n; ++i) values[i] -= mean;
    const float variance = sum_of_squares(values, n) / count;
    table().scale(values, 1.0F / std::sqrt(variance + epsilon_), n);
    if (n_channels_ > 0) {
      const auto channel = static_cast<std::size_t>(row % n_channels_);
      const float gamma = gamma_.empty() ? 1.0F : gamma_[channel];
      const float beta = beta_.empty() ? 0.0F : beta_[channel];
      for (std::size_t i = 0; i < n; ++i) values[i] = values[i] * gamma + beta;
      return;
    }
    if (!gamma_.empty()) {
      for (std::size_t i = 0; i < n; ++i) values[i] *= gamma_[i];
    }
    if (!beta_.empty()) {
      for (std::size_t i = 0; i < n; ++i) values[i] += beta_[i];
    }
  }

  std::vector<float> gamma_;
  std::vector<float> beta_;
  float epsilon_;
  std::int64_t n_channels_;
};

/// (x - mean) / sqrt(variance + epsilon) * gamma + beta with given statistics per channel.
class BatchNorm final : public RowStep {
 public:
  BatchNorm(const PrepareContext& context, const std::vector<std::int64_t>& axes)
      : RowStep(context, axes),
        mean_(floats(context.inputs[1])),
        scale_(floats(context.inputs[2])),
        beta_(floats(context.inputs[4])) {
    const std::vector<float> gamma = floats(context.inputs[3]);
    const auto epsilon = static_cast<float>(context.op.real("epsilon"));
    for (std::size_t i = 0; i < scale_.size(); ++i) {
      scale_[i] = (gamma.empty() ? 1.0F : gamma[i]) / std::sqrt(scale_[i] + epsilon);
    }
    beta_.resize(scale_.size(), 0.0F);
  }

  bool reads_input(std::size_t i) const override { return i == 0; }

 private:
  void evaluate(std::int64_t row, float* values, std::size_t n) const override {
    const std::size_t channel = static_cast<std::size_t>(row) % scale_.size();
    const float mean = mean_[channel];
    const float scale = scale_[channel];
    const float beta = beta_[channel];
    for (std::size_t i = 0; i < n; ++i) values[i] = (values[i] - mean) * scale + beta;
  }

  std::vector<float> mean_;
  std::vector<float> scale_;
  std::vector<float> beta_;
};

/// x / sqrt(sum x^2 + epsilon) over the last three dimensions.
class L2Norm final : public RowStep {
 public:
  L2Norm(const PrepareContext& context, const std::vector<std::int64_t>& axes)
      : RowStep(context, axes), epsilon_(static_cast<float>(context.op.real("epsilon"))) {}

 private:
  void evaluate(std::int64_t, float* values, std::size_t n) const override {
    table().scale(values, 1.0F / std::sqrt(sum_of_squares(values, n) + epsilon_), n);
  }

  float epsilon_;
};

/// x / (k + alpha / size * sum of x^2 over `size` neighbouring channels)^beta. Of an even size
/// there is one more neighbour before than after (PyTorch's rule).
class LocalResponseNorm final : public Step {
 public:
  explicit LocalResponseNorm(const PrepareContext& context)
      : x_(context.inputs[0]),
        size_(context.op.integer("size")),
        alpha_(static_cast<float>(context.op.real("alpha") / static_cast<double>(size_))),
        beta_(context.op.real("beta")),
        k_(static_cast<float>(context.op.real("k"))) {
    for (int i = 2; i < x_.rank; ++i) inner_ *= x_.dim(i);
  }

  void run(const StepArguments& arguments) const override {
    const std::byte* x = arguments.inputs[0].data;
    std::byte* out = arguments.outputs[0].data;
    const std::int64_t channels = x_.dim(1);
    const std::int64_t n_blocks = (inner_ + kColumns - 1) / kColumns;
    for_each_row(x_.dim(0) * n_blocks, channels * std::min(inner_, kColumns),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t i = begin; i < end; ++i) {
                     const std::int64_t first = i % n_blocks * kColumns;
                     normalize(x, out, i / n_blocks * channels * inner_ + first,
                               std::min(kColumns, inner_ - first));
                   }
                 });
  }

 private:
  /// Positions worked on together.
  static constexpr std::int64_t kColumns = 256;

  void normalize(const std::byte* x, std::byte* out, std::int64_t offset, std::int64_t n) const {
    const std::int64_t channels = x_.dim(1);
    auto* squares = reinterpret_cast<float*>(
        thread_scratch(static_cast<std::size_t>((channels + 2) * kColumns) * sizeof(float)));
    float* sums = squares + channels * kColumns;
    float* values = sums + kColumns;
    for (std::int64_t c = 0; c < channels; ++c) {
      float* row = squares + c * kColumns;
      load_floats(x_.dtype, x, offset + c * inner_, 1, n, row);
      for (std::int64_t i = 0; i < n; ++i) row[i] *= row[i];
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      const std::int64_t first = std::max<std::int64_t>(c - size_ / 2, 0);
      const std::int64_t last = std::min(c + (size_ - 1) / 2, channels - 1);
      std::fill_n(sums, n, 0.0F);
      for (std::int64_t j = first; j <= last; ++j) {
        for (std::int64_t i = 0; i < n; ++i) sums[i] += squares[j * kColumns + i];
      }
      load_floats(x_.dtype, x, offset + c * inner_, 1, n, values);
      for (std::int64_t i = 0; i < n; ++i) {
        const double divisor = std::pow(static_cast<double>(k_ + alpha_ * sums[i]), beta_);
        values[i] = static_cast<float>(static_cast<double>(values[i]) / divisor);
      }
      store_floats(values, x_.dtype, out, offset + c * inner_, 1, n);
    }
  }

  TensorLayout x_;  ///< Contiguous.
  std::int64_t size_;
  float alpha_;
  double beta_;
  float k_;
  std::int64_t inner_ = 1;
};

std::vector<std::int64_t> axes_from(std::int64_t first, int rank) {
  std::vector<std::int64_t> axes;
  for (std::int64_t i = first; i < rank; ++i) axes.push_back(i);
  return axes;
}

std::unique_ptr<Step> softmax(const PrepareContext& context) {
  return std::make_unique<Softmax>(context);
}

std::unique_ptr<Step> layer_norm(const PrepareContext& context) {
  const int rank = context.inputs[0].rank;
  std::vector<std::int64_t> axes = axes_from(0, rank);
  if (context.op.has("axes")) {
    axes = context.op.integers("axes");
    for (std::int64_t& axis : axes) axis += axis < 0 ? rank : 0;
  }
  return std::make_unique<MeanVarianceNorm>(context, axes, false);
}

std::unique_ptr<Step> instance_norm(const PrepareContext& context) {
  return std::make_unique<MeanVarianceNorm>(context, axes_from(2, context.inputs[0].rank), true);
}

std::unique_ptr<Step> batch_norm(const PrepareContext& context) {
  return std::make_unique<BatchNorm>(context, axes_from(2, context.inputs[0].rank));
}

std::unique_ptr<Step> l2_norm(const PrepareContext& context) {
  const int rank = context.inputs[0].rank;
  return std::make_unique<L2Norm>(context, axes_from(rank - 3, rank));
}

std::unique_ptr<Step> local_response_norm(const PrepareContext& context) {
  return std::make_unique<LocalResponseNorm>(context);
}

KernelRecord record(std::string_view op, std::vector<std::string_view> operands, Prepare prepare) {
  return {.op = op,
          .operands = std::move(operands),
          .prepare = prepare,
          .strided_inputs = true,
          .strided_outputs = true};
}

KernelRecord softmax_record() {
  KernelRecord softmax_alone = record("softmax", {"x"}, softmax);
  softmax_alone.along_axis = AxisForm::kSoftmax;
  return softmax_alone;
}

}  // namespace

std::span<const KernelRecord> normalization_kernels() {
  static const KernelRecord records[] = {
      record("batch_norm", {"x", "mean", "variance", "gamma", "beta"}, batch_norm),
      record("instance_norm", {"x", "gamma", "beta"}, instance_norm),
      record("l2_norm", {"x"}, l2_norm),
      record("layer_norm", {"x", "gamma", "beta"}, layer_norm),
      {.op = "local_response_norm", .operands = {"x"}, .prepare = local_response_norm},
      softmax_record(),
  };
  return records;
}

}  // namespace pyane::emulator
