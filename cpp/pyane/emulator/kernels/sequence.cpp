#include <algorithm>
#include <cstring>
#include <string>

#include "pyane/base/error.h"
#include "pyane/emulator/kernels/float_row.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/rows.h"
#include "pyane/emulator/scratch.h"

// Operations along one axis whose elements depend on those before: cumsum, reverse_sequence.

namespace pyane::emulator {
namespace {

/// Sums of everything up to an element, in order, in fp32; int32 modulo 2^32.
class CumulativeSum final : public Step {
 public:
  explicit CumulativeSum(const PrepareContext& context)
      : from_(context.inputs[0], axes(context)),
        to_(context.outputs[0], axes(context)),
        is_exclusive_(context.op.boolean("exclusive")),
        is_reverse_(context.op.boolean("reverse")) {}

  void run(const StepArguments& arguments) const override {
    const std::byte* x = arguments.inputs[0].data;
    std::byte* out = arguments.outputs[0].data;
    const std::int64_t n = from_.length();
    for_each_row(from_.n_rows(), n, [&](std::int64_t begin, std::int64_t end) {
      auto* values =
          reinterpret_cast<float*>(thread_scratch(static_cast<std::size_t>(n) * sizeof(float)));
      for (std::int64_t row = begin; row < end; ++row) {
        if (is_float(from_.dtype())) {
          from_.load(x, from_.offset(row), 0, n, values);
          accumulate(values);
          to_.store(values, out, to_.offset(row), 0, n);
        } else {
          accumulate_integers(x, from_.offset(row), out, to_.offset(row));
        }
      }
    });
  }

 private:
  static std::vector<std::int64_t> axes(const PrepareContext& context) {
    return {context.op.axis("axis", static_cast<std::size_t>(context.inputs[0].rank))};
  }

  std::int64_t nth(std::int64_t k) const { return is_reverse_ ? from_.length() - 1 - k : k; }

  void accumulate(float* values) const {
    float sum = 0.0F;
    for (std::int64_t k = 0; k < from_.length(); ++k) {
      float& value = values[nth(k)];
      const float before = sum;
      sum += value;
      value = is_exclusive_ ? before : sum;
    }
  }

  void accumulate_integers(const std::byte* x, std::int64_t source, std::byte* out,
                           std::int64_t target) const {
    std::uint32_t sum = 0;
    for (std::int64_t k = 0; k < from_.length(); ++k) {
      const std::uint32_t before = sum;
      sum += static_cast<std::uint32_t>(from_.load_integer(x, source, nth(k)));
      const std::uint32_t value = is_exclusive_ ? before : sum;
      std::memcpy(out + (target + to_.element_offset(nth(k))) * 4, &value, sizeof(value));
    }
  }

  Rows from_;
  Rows to_;
  bool is_exclusive_;
  bool is_reverse_;
};

/// Reverses the first lengths[b] elements along seq_axis of entry b of batch_axis.
class ReverseSequence final : public Step {
 public:
  explicit ReverseSequence(const PrepareContext& context)
      : name_(context.op.operation().display_name()), dims_(context.inputs[0]) {
    const auto rank = static_cast<std::size_t>(dims_.rank);
    sequence_ = static_cast<std::size_t>(context.op.axis("seq_axis", rank));
    batch_ = static_cast<std::size_t>(context.op.axis("batch_axis", rank));
    // Elements behind both axes move together.
    for (std::size_t i = std::max(sequence_, batch_) + 1; i < rank; ++i) inner_ *= dims_.dims[i];
    n_runs_ = inner_ > 0 ? dims_.count() / inner_ : 0;
  }

  void run(const StepArguments& arguments) const override {
    const TensorView& lengths = arguments.inputs[1];
    for (std::int64_t i = 0; i < dims_.dims[batch_]; ++i) {
      const std::int64_t length = load_integer(lengths.dtype, lengths.data, i);
      if (length >= 0 && length <= dims_.dims[sequence_]) continue;
      throw EvaluateError("reverse_sequence '" + name_ + "': lengths must lie in [0, " +
                              std::to_string(dims_.dims[sequence_]) + "], got " +
                              std::to_string(length) + " at element " + std::to_string(i),
                          0);
    }
    const auto n_bytes = static_cast<std::size_t>(inner_) * dims_.element_bytes();
    for_each_row(n_runs_, inner_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t run = begin; run < end; ++run) {
        const std::int64_t stride = dims_.strides[sequence_] / inner_;
        const std::int64_t at = run / stride % dims_.dims[sequence_];
        const std::int64_t entry = run / (dims_.strides[batch_] / inner_) % dims_.dims[batch_];
        const std::int64_t length = load_integer(lengths.dtype, lengths.data, entry);
        const std::int64_t source = at < length ? run + (length - 1 - 2 * at) * stride : run;
        std::memcpy(arguments.outputs[0].data + run * static_cast<std::int64_t>(n_bytes),
                    arguments.inputs[0].data + source * static_cast<std::int64_t>(n_bytes),
                    n_bytes);
      }
    });
  }

 private:
  std::string name_;
  TensorLayout dims_;  ///< Contiguous.
  std::size_t sequence_ = 0;
  std::size_t batch_ = 0;
  std::int64_t inner_ = 1;
  std::int64_t n_runs_ = 0;
};

std::unique_ptr<Step> prepare_cumsum(const PrepareContext& context) {
  return std::make_unique<CumulativeSum>(context);
}

std::unique_ptr<Step> prepare_reverse_sequence(const PrepareContext& context) {
  return std::make_unique<ReverseSequence>(context);
}

}  // namespace

std::span<const KernelRecord> sequence_kernels() {
  static const KernelRecord records[] = {
      {.op = "cumsum",
       .operands = {"x"},
       .prepare = prepare_cumsum,
       .strided_inputs = true,
       .strided_outputs = true},
      {.op = "reverse_sequence", .operands = {"x", "lengths"}, .prepare = prepare_reverse_sequence},
  };
  return records;
}

}  // namespace pyane::emulator
