#include <algorithm>
#include <utility>

#include "pyane/emulator/kernels/blockwise.h"
#include "pyane/emulator/kernels/elements.h"
#include "pyane/emulator/kernels/int8_kernel.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/rows.h"
#include "pyane/emulator/scratch.h"

// quantize, dequantize, and the constexpr operations that scale and shift. Arithmetic is fp32; the
// result is rounded once.

namespace pyane::emulator {
namespace {

using mil::OpContext;

/// One number for each block of the data. A scalar or a vector may be given for the numbers of an
/// axis.
struct BlockParameter {
  BlockIndex index;
  std::vector<float> values;  ///< Empty: absent.
};

BlockParameter per_axis(const TensorLayout& data, std::int64_t axis, const TensorView& parameter) {
  const Shape dims = data.shape();
  const Shape blocks =
      parameter.is_absent() ? Shape(dims.size(), 1) : per_axis_blocks(dims.size(), axis, parameter);
  return {BlockIndex(dims, blocks), constant_floats(parameter)};
}

BlockParameter per_block(const TensorLayout& data, const TensorView& parameter) {
  const Shape dims = data.shape();
  return {BlockIndex(dims, parameter.is_absent() ? Shape(dims.size(), 1) : parameter.shape()),
          constant_floats(parameter)};
}

std::int64_t axis_or_zero(const OpContext& op, const TensorLayout& data) {
  return op.has("axis") ? op.axis("axis", static_cast<std::size_t>(data.rank)) : 0;
}

/// body(row, begin, end, scale, offset) for every run of elements that share both.
template <typename Body>
void for_each_block(const BlockParameter& scale, const BlockParameter& offset, std::int64_t row,
                    const Body& body) {
  const std::int64_t length = scale.index.length();
  const std::int64_t run =
      offset.values.empty() ? scale.index.run() : std::min(scale.index.run(), offset.index.run());
  const std::int64_t first_scale = scale.index.first(row);
  const std::int64_t first_offset = offset.values.empty() ? 0 : offset.index.first(row);
  for (std::int64_t begin = 0; begin < length;) {
    const std::int64_t end = std::min(begin + run - begin % run, length);
    const auto entry = static_cast<std::size_t>(first_scale + begin / scale.index.run());
    const float shift =
        offset.values.empty()
            ? 0.0F
            : offset.values[static_cast<std::size_t>(first_offset + begin / offset.index.run())];
    body(begin, end, scale.values[entry], shift);
    begin = end;
  }
}

/// out = scale * (data - offset). Source: coremltools' definitions of dequantize,
/// constexpr_affine_dequantize and constexpr_blockwise_shift_scale.
class Dequantize final : public Step {
 public:
  Dequantize(const PrepareContext& context, BlockParameter scale, BlockParameter offset)
      : from_(context.inputs[0].dtype),
        to_(context.outputs[0].dtype),
        scale_(std::move(scale)),
        offset_(std::move(offset)) {}

  void run(const StepArguments& arguments) const override {
    const std::int64_t length = scale_.index.length();
    for_each_row(scale_.index.n_rows(), length, [&](std::int64_t begin_row, std::int64_t end_row) {
      const auto n = static_cast<std::size_t>(length);
      auto* values = reinterpret_cast<float*>(thread_scratch(std::max<std::size_t>(n, 1) * 4));
      for (std::int64_t row = begin_row; row < end_row; ++row) {
        const std::int64_t at = row * length;
        load_floats(from_, arguments.inputs[0].data + at * bytes(from_), values, n);
        for_each_block(scale_, offset_, row,
                       [&](std::int64_t begin, std::int64_t end, float scale, float offset) {
                         for (std::int64_t i = begin; i < end; ++i) {
                           values[i] = scale * (values[i] - offset);
                         }
                       });
        store_floats(to_, values, arguments.outputs[0].data + at * bytes(to_), n);
      }
    });
  }
  bool reads_input(std::size_t i) const override { return i == 0; }

 private:
  static std::int64_t bytes(DType dtype) { return static_cast<std::int64_t>(dtype_size(dtype)); }

  DType from_;
  DType to_;
  BlockParameter scale_;
  BlockParameter offset_;
};

/// out = clip(round(x / scale) + zero_point): the quotient is fp32, round is half to even, NaN
/// gives the zero point. Source: coremltools' definition of quantize.
class Quantize final : public Step {
 public:
  Quantize(const PrepareContext& context, BlockParameter scale, BlockParameter zero_point)
      : from_(context.inputs[0].dtype),
        is_signed_(context.outputs[0].dtype == DType::kInt8),
        run_(active_quantize_run()),
        scale_(std::move(scale)),
        zero_point_(std::move(zero_point)) {}

  void run(const StepArguments& arguments) const override {
    const std::int64_t length = scale_.index.length();
    if (scale_.values.size() == 1 && zero_point_.values.size() <= 1) return run_alike(arguments);
    const float low = is_signed_ ? -128.0F : 0.0F;
    const float high = is_signed_ ? 127.0F : 255.0F;
    for_each_row(scale_.index.n_rows(), length, [&](std::int64_t begin_row, std::int64_t end_row) {
      const auto n = static_cast<std::size_t>(length);
      auto* values = reinterpret_cast<float*>(thread_scratch(std::max<std::size_t>(n, 1) * 4));
      for (std::int64_t row = begin_row; row < end_row; ++row) {
        const std::int64_t at = row * length;
        load_floats(from_,
                    arguments.inputs[0].data + at * static_cast<std::int64_t>(dtype_size(from_)),
                    values, n);
        auto* out = arguments.outputs[0].as<std::uint8_t>() + at;
        for_each_block(scale_, zero_point_, row,
                       [&](std::int64_t begin, std::int64_t end, float scale, float zero_point) {
                         run_(values + begin, end - begin, scale, zero_point, low, high,
                              out + begin);
                       });
      }
    });
  }
  bool reads_input(std::size_t i) const override { return i == 0; }

 private:
  /// One scale and zero point for all: rows do not matter.
  void run_alike(const StepArguments& arguments) const {
    constexpr std::int64_t kElements = 2048;  // That stay in the first-level cache as fp32.
    const float zero_point = zero_point_.values.empty() ? 0.0F : zero_point_.values[0];
    const std::int64_t n = scale_.index.n_rows() * scale_.index.length();
    for_each_row(
        (n + kElements - 1) / kElements, kElements, [&](std::int64_t begin, std::int64_t end) {
          auto* values = reinterpret_cast<float*>(thread_scratch(kElements * 4));
          for (std::int64_t at = begin * kElements; at < std::min(end * kElements, n);
               at += kElements) {
            const std::int64_t some = std::min(kElements, n - at);
            const auto bytes = static_cast<std::int64_t>(dtype_size(from_));
            load_floats(from_, arguments.inputs[0].data + at * bytes, values,
                        static_cast<std::size_t>(some));
            run_(values, some, scale_.values[0], zero_point, is_signed_ ? -128.0F : 0.0F,
                 is_signed_ ? 127.0F : 255.0F, arguments.outputs[0].as<std::uint8_t>() + at);
          }
        });
  }

  DType from_;
  bool is_signed_;
  QuantizeRun run_;
  BlockParameter scale_;
  BlockParameter zero_point_;
};

std::unique_ptr<Step> prepare_dequantize(const PrepareContext& context) {
  const TensorView& data = context.inputs[0];
  const std::int64_t axis = axis_or_zero(context.op, data);
  return std::make_unique<Dequantize>(context, per_axis(data, axis, context.inputs[1]),
                                      per_axis(data, axis, context.inputs[2]));
}

std::unique_ptr<Step> prepare_quantize(const PrepareContext& context) {
  const TensorView& data = context.inputs[0];
  const std::int64_t axis = axis_or_zero(context.op, data);
  return std::make_unique<Quantize>(context, per_axis(data, axis, context.inputs[1]),
                                    per_axis(data, axis, context.inputs[2]));
}

std::unique_ptr<Step> prepare_blockwise(const PrepareContext& context) {
  const TensorView& data = context.inputs[0];
  return std::make_unique<Dequantize>(context, per_block(data, context.inputs[1]),
                                      per_block(data, context.inputs[2]));
}

/// The elements of a mask's ones, in order, scaled and shifted as in the dense tensor.
class SparseShiftScale final : public Step {
 public:
  explicit SparseShiftScale(const PrepareContext& context)
      : from_(context.inputs[1].dtype),
        to_(context.outputs[1].dtype),
        n_(static_cast<std::size_t>(context.inputs[1].count())),
        scale_(per_block(context.inputs[0], context.inputs[2])),
        offset_(per_block(context.inputs[0], context.inputs[3])) {}

  void run(const StepArguments& arguments) const override {
    const auto* mask = arguments.inputs[0].as<const std::uint8_t>();
    std::vector<float> values(n_);
    load_floats(from_, arguments.inputs[1].data, values.data(), n_);
    const std::int64_t length = scale_.index.length();
    std::size_t next = 0;
    for (std::int64_t row = 0; row < scale_.index.n_rows(); ++row) {
      for_each_block(scale_, offset_, row,
                     [&](std::int64_t begin, std::int64_t end, float scale, float offset) {
                       for (std::int64_t i = begin; i < end && next < n_; ++i) {
                         if (mask[row * length + i] == 0) continue;
                         values[next] = scale * (values[next] - offset);
                         ++next;
                       }
                     });
    }
    std::copy_n(mask, scale_.index.n_rows() * length, arguments.outputs[0].as<std::uint8_t>());
    store_floats(to_, values.data(), arguments.outputs[1].data, n_);
  }

 private:
  DType from_;
  DType to_;
  std::size_t n_;
  BlockParameter scale_;
  BlockParameter offset_;
};

std::unique_ptr<Step> prepare_sparse_blockwise(const PrepareContext& context) {
  const TensorView& mask = context.inputs[0];
  const auto* bits = mask.as<const std::uint8_t>();
  const std::int64_t ones = mask.count() - std::count(bits, bits + mask.count(), 0);
  if (ones != context.inputs[1].count()) {
    context.op.fail("data_mask has " + std::to_string(ones) + " ones, nonzero_data has " +
                    std::to_string(context.inputs[1].count()) + " elements");
  }
  return std::make_unique<SparseShiftScale>(context);
}

}  // namespace

std::span<const KernelRecord> quantization_kernels() {
  static const std::vector<KernelRecord> records = {
      {.op = "constexpr_affine_dequantize",
       .operands = {"quantized_data", "scale", "zero_point"},
       .prepare = prepare_dequantize},
      {.op = "constexpr_blockwise_shift_scale",
       .operands = {"data", "scale", "offset"},
       .prepare = prepare_blockwise},
      {.op = "constexpr_sparse_blockwise_shift_scale",
       .operands = {"data_mask", "nonzero_data", "scale", "offset"},
       .prepare = prepare_sparse_blockwise},
      {.op = "dequantize",
       .operands = {"input", "scale", "zero_point"},
       .prepare = prepare_dequantize},
      {.op = "quantize", .operands = {"input", "scale", "zero_point"}, .prepare = prepare_quantize},
  };
  return records;
}

}  // namespace pyane::emulator
