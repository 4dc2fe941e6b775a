#include "pyane/emulator/hardware/reduction.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "pyane/emulator/hardware/accumulator.h"
#include "pyane/emulator/hardware/decorated.h"
#include "pyane/emulator/hardware/numerics.h"
#include "pyane/emulator/hardware/values.h"
#include "pyane/emulator/kernels/rows.h"
#include "pyane/emulator/scratch.h"

namespace pyane::emulator::hardware {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<std::int64_t> reduced_axes(const mil::OpContext& op, int rank) {
  std::vector<std::int64_t> axes;
  if (op.has("axes")) {
    for (const std::int64_t axis : op.integers("axes")) {
      axes.push_back(axis < 0 ? axis + rank : axis);
    }
    return axes;
  }
  for (int i = 0; i < rank; ++i) axes.push_back(i);
  return axes;
}

enum class Kind : std::uint8_t { kSum, kMean, kL1, kL2, kSumSquare };

Kind kind_of(const std::string& op) {
  if (op == "reduce_mean") return Kind::kMean;
  if (op == "reduce_l1_norm") return Kind::kL1;
  if (op == "reduce_l2_norm") return Kind::kL2;
  if (op == "reduce_sum_square") return Kind::kSumSquare;
  return Kind::kSum;
}

class LaneReduction final : public Step {
 public:
  explicit LaneReduction(const PrepareContext& context)
      : rows_(context.inputs[0], reduced_axes(context.op, context.inputs[0].rank)),
        kind_(kind_of(context.op.record().name)),
        numerics_(*context.hardware) {
    numerics_.mac_ceiling = std::numeric_limits<double>::infinity();
    numerics_.flushes_mac_denormals = false;  // Measured in matrix products only.
  }

  void run(const StepArguments& arguments) const override {
    const std::byte* x = arguments.inputs[0].data;
    const TensorView& out = arguments.outputs[0];
    const auto n = static_cast<std::size_t>(std::max<std::int64_t>(rows_.length(), 1));
    for_each_row(rows_.n_rows(), rows_.length(), [&](std::int64_t begin, std::int64_t end) {
      auto* values = reinterpret_cast<float*>(thread_scratch(n * sizeof(float)));
      for (std::int64_t row = begin; row < end; ++row) {
        rows_.load(x, rows_.offset(row), 0, rows_.length(), values);
        store_value(out.dtype, out.data, row, static_cast<float>(reduce(values)));
      }
    });
  }

 private:
  double reduce(const float* values) const {
    Accumulation sum(numerics_);
    for (std::int64_t k = 0; k < rows_.length(); ++k) {
      const float x = admit(half_to_float(float_to_half(values[k])));
      const bool is_square = kind_ == Kind::kL2 || kind_ == Kind::kSumSquare;
      sum.add(kind_ == Kind::kL1 ? std::fabs(x) : x, is_square ? x : 1.0F);
    }
    double result = sum.finish();
    if (kind_ == Kind::kMean && rows_.length() > 0) result /= static_cast<double>(rows_.length());
    if (kind_ == Kind::kL2) result = std::sqrt(result);
    return round_to_half(result, numerics_.rounds_ties_away) + 0.0;
  }

  Rows rows_;
  Kind kind_;
  Numerics numerics_;
};

/// The record's own step, for what is not summed here.
std::unique_ptr<Step> ieee_step(const PrepareContext& context) {
  return emulator::find_kernel(context.op.record().name)->prepare(context);
}

/// Replaces infinities so that the IEEE softmax gives what the engine's subtraction of the largest
/// element does, where infinity minus infinity is 0.
class InfiniteRows final : public InputFilter {
 public:
  InfiniteRows(const TensorLayout& x, std::int64_t axis) : rows_(x, {axis}) {}

  void apply(std::byte* data) const override {
    const auto n = static_cast<std::size_t>(std::max<std::int64_t>(rows_.length(), 1));
    for_each_row(rows_.n_rows(), rows_.length(), [&](std::int64_t begin, std::int64_t end) {
      const std::span<float> values(reinterpret_cast<float*>(thread_scratch(n * sizeof(float))), n);
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t offset = rows_.offset(row);
        rows_.load(data, offset, 0, rows_.length(), values.data());
        const float largest = *std::max_element(values.begin(), values.end());
        if (std::isfinite(largest)) continue;
        for (float& value : values) value = value == largest ? 0.0F : -kInfinity;
        rows_.store(values.data(), data, offset, 0, rows_.length());
      }
    });
  }

 private:
  Rows rows_;
};

}  // namespace

std::unique_ptr<Step> prepare_reduction(const PrepareContext& context) {
  const DType dtype = context.inputs[0].dtype;
  const bool is_float = dtype == DType::kFp16 || dtype == DType::kFp32;
  if (is_float && context.hardware->reduces_by_lanes &&
      context.hardware->accumulator == Accumulator::kFourLanes) {
    return std::make_unique<LaneReduction>(context);
  }
  return decorate(context, {.nan_value = kInfinity}, &ieee_step);
}

std::unique_ptr<Step> prepare_softmax(const PrepareContext& context) {
  const TensorView& x = context.inputs[0];
  const std::int64_t axis = context.op.axis("axis", static_cast<std::size_t>(x.rank));
  return decorate(context,
                  {.nan_value = kInfinity, .filter = std::make_shared<InfiniteRows>(x, axis)},
                  &ieee_step);
}

}  // namespace pyane::emulator::hardware
