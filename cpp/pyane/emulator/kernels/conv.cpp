#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/emulator/kernels/conv_direct.h"
#include "pyane/emulator/kernels/gemm.h"
#include "pyane/emulator/kernels/phased_image.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/mil/ops/windows.h"

// conv and conv_transpose as matrix products: weight [F, C * K] @ patches [C * K, O] for every
// image and group, K kernel elements, O output positions. The patches are not written out: element
// (c, k), o of their matrix is at one offset for (c, k) plus one for o.
//
// Unless the kernel is a single element without stride or padding, the image is first staged as
// fp32 (phased_image.h); then patches are read in place (conv_direct.h) or packed (gemm.h).
// conv_transpose is a conv with stride 1 of the image spread out with stride - 1 zeros in between,
// by the reversed kernel.

namespace pyane::emulator {
namespace {

using Offsets = std::vector<std::int64_t>;

/// Offsets of nested loops, the outermost first, kept as (count, step) so that a large regular walk
/// takes no memory.
class Walk {
 public:
  void nest(std::int64_t n, std::int64_t step) {
    if (n == 1) return;
    if (!loops_.empty() && loops_.back().step == n * step) {
      loops_.back() = {loops_.back().n * n, step};
    } else {
      loops_.push_back({n, step});
    }
  }

  std::int64_t size() const {
    std::int64_t n = 1;
    for (const Loop& loop : loops_) n *= loop.n;
    return n;
  }

  bool is_regular() const { return loops_.size() <= 1; }
  /// Of a regular walk; `single` when it has one element.
  std::int64_t step(std::int64_t single) const { return loops_.empty() ? single : loops_[0].step; }

  Offsets offsets() const {
    Offsets result = {0};
    for (const Loop& loop : loops_) {
      Offsets next;
      next.reserve(result.size() * static_cast<std::size_t>(loop.n));
      for (const std::int64_t offset : result) {
        for (std::int64_t i = 0; i < loop.n; ++i) next.push_back(offset + i * loop.step);
      }
      result = std::move(next);
    }
    return result;
  }

 private:
  struct Loop {
    std::int64_t n;
    std::int64_t step;
  };
  std::vector<Loop> loops_;
};

/// Real convolutions stay below a million.
constexpr std::int64_t kMaxOffsets = std::int64_t{1} << 26;

/// @throws CompileError
void require_offsets(const mil::OpContext& op, std::int64_t n) {
  if (n <= kMaxOffsets) return;
  throw CompileError(
      op.record().name + " '" + op.operation().display_name() +
      "': the emulator keeps one offset for each position of an irregular walk, at most " +
      std::to_string(kMaxOffsets) + ", got " + std::to_string(n));
}

/// With strides where the walks allow, which is faster to read.
GemmOperand operand(const mil::OpContext& op, DType dtype, const Walk& rows, const Walk& cols,
                    Offsets products) {
  GemmOperand result{.dtype = dtype, .offsets = std::move(products)};
  if (rows.is_regular() && cols.is_regular()) {
    result.row_stride = rows.step(0);
    result.col_stride = cols.step(1);
  } else {
    require_offsets(op, rows.size());
    require_offsets(op, cols.size());
    result.row_offsets = rows.offsets();
    result.col_offsets = cols.offsets();
  }
  return result;
}

class ConvStep final : public Step {
 public:
  /// @param input  What to stage before the product; without it x is read in place.
  ConvStep(GemmSpec spec, std::optional<StagedImages> input, const PrepareContext& context)
      : gemm_(std::move(spec)), input_(std::move(input)) {
    if (input_) {
      constexpr std::size_t kAlign = 64;
      const std::size_t bytes = static_cast<std::size_t>(input_->n_words()) * sizeof(float);
      staged_bytes_ = (bytes + kAlign - 1) / kAlign * kAlign;
    }
    const void* weight = context.inputs[1].data;
    is_weight_packed_ = weight != nullptr && gemm_.pack_a(weight);
  }

  void run(const StepArguments& arguments) const override {
    const TensorView& bias = arguments.inputs[2];
    const std::byte* x = arguments.inputs[0].data;
    if (input_) {
      input_->run(x, reinterpret_cast<float*>(arguments.scratch));
      x = arguments.scratch;
    }
    gemm_.run(arguments.inputs[1].data, x, bias.is_absent() ? nullptr : bias.data,
              arguments.outputs[0].data, arguments.scratch + staged_bytes_);
  }
  std::size_t scratch_bytes() const override { return staged_bytes_ + gemm_.scratch_bytes(); }
  bool reads_input(std::size_t i) const override { return i != 1 || !is_weight_packed_; }

 private:
  Gemm gemm_;
  std::optional<StagedImages> input_;
  std::size_t staged_bytes_ = 0;
  bool is_weight_packed_ = false;
};

bool is_in_place(const ImageAxis& axis) {
  return axis.kernel == 1 && axis.stride == 1 && axis.lead == 0 && axis.step == 1 &&
         axis.padded() <= axis.input;
}

/// @param out_channel_dim  Dimension of the weight that counts output channels: 0, or 1 for
///   conv_transpose, whose kernel is also read backwards.
std::unique_ptr<Step> prepare(const PrepareContext& context, const std::vector<ImageAxis>& given,
                              int out_channel_dim) {
  const TensorView& x = context.inputs[0];
  const TensorView& weight = context.inputs[1];
  const TensorView& bias = context.inputs[2];
  const TensorView& out = context.outputs[0];
  const bool is_transpose = out_channel_dim == 1;
  const std::int64_t groups = context.op.integer("groups");
  const std::int64_t channels = x.dim(1) / groups;  // Of one group.
  const std::int64_t filters = out.dim(1) / groups;

  ImageAxes axes{};
  std::copy(given.begin(), given.end(), axes.end() - static_cast<std::ptrdiff_t>(given.size()));
  const bool is_staged = !std::all_of(axes.begin(), axes.end(), is_in_place);

  // Rows of the patch matrix are (c, k), its columns o; the weight's columns are (c, k) too.
  Walk weight_rows;
  Walk weight_cols;
  weight_rows.nest(filters, weight.stride(out_channel_dim));
  weight_cols.nest(channels, weight.stride(1 - out_channel_dim));
  std::int64_t kernel_start = 0;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const std::int64_t stride = weight.stride(static_cast<int>(i) + 2);
    weight_cols.nest(given[i].kernel, is_transpose ? -stride : stride);
    if (is_transpose) kernel_start += (given[i].kernel - 1) * stride;
  }
  require_offsets(context.op, x.dim(0) * groups);
  Offsets weight_groups;
  for (std::int64_t g = 0; g < groups; ++g) {
    weight_groups.push_back(kernel_start +
                            g * (is_transpose ? channels : filters) * weight.stride(0));
  }

  std::optional<StagedImages> input;
  std::int64_t image_stride = x.stride(0);
  std::int64_t channel_stride = x.stride(1);
  if (is_staged) {
    require_staged_size(context.op, x, axes);
    input = StagedImages{.image = PhasedImage(axes),
                         .dtype = x.dtype,
                         .n_images = x.dim(0),
                         .n_channels = x.dim(1),
                         .image_stride = x.stride(0),
                         .channel_stride = x.stride(1)};
    require_offsets(context.op, weight_cols.size());
    image_stride = input->image_words();
    channel_stride = input->image.channel_words();
    DirectConvSpec direct{.input = *input,
                          .groups = groups,
                          .channels = channels,
                          .filters = filters,
                          .out_dtype = out.dtype,
                          .out_image_stride = out.stride(0),
                          .out_channel_stride = out.stride(1),
                          .has_bias = !bias.is_absent(),
                          .bias_dtype = bias.dtype};
    if (context.hardware == nullptr && direct_conv_pays(direct)) {
      direct.weight = {.dtype = weight.dtype,
                       .filter_stride = weight.stride(out_channel_dim),
                       .k_offsets = weight_cols.offsets(),
                       .group_offsets = std::move(weight_groups)};
      return make_direct_conv(std::move(direct), weight.data);
    }
  }

  GemmSpec spec{{.m = filters, .n = 1, .k = weight_cols.size()}};
  for (const ImageAxis& axis : axes) spec.n *= axis.output;
  Offsets x_products;
  Offsets weight_products;
  Offsets out_products;
  Offsets bias_products;
  for (std::int64_t n = 0; n < x.dim(0); ++n) {
    for (std::int64_t g = 0; g < groups; ++g) {
      x_products.push_back(n * image_stride + g * channels * channel_stride);
      weight_products.push_back(weight_groups[static_cast<std::size_t>(g)]);
      out_products.push_back(n * out.stride(0) + g * filters * out.stride(1));
      bias_products.push_back(g * filters);
    }
  }
  spec.a = operand(context.op, weight.dtype, weight_rows, weight_cols, std::move(weight_products));
  if (is_staged) {
    require_offsets(context.op, spec.n);
    spec.b = {.dtype = DType::kFp32,
              .offsets = std::move(x_products),
              .row_offsets = {},
              .col_offsets = input->image.output_offsets()};
    const Offsets elements = input->image.kernel_offsets();
    for (std::int64_t c = 0; c < channels; ++c) {
      for (const std::int64_t offset : elements) {
        spec.b.row_offsets.push_back(c * channel_stride + offset);
      }
    }
  } else {
    Walk patch_rows;
    Walk patch_cols;
    patch_rows.nest(channels, channel_stride);
    for (const ImageAxis& axis : axes) patch_cols.nest(axis.output, axis.input_stride);
    spec.b = operand(context.op, x.dtype, patch_rows, patch_cols, std::move(x_products));
  }
  spec.c = {.dtype = out.dtype,
            .row_stride = out.stride(1),
            .col_stride = 1,
            .offsets = std::move(out_products)};
  spec.unit = hardware::mac_unit(context, 1, 0, spec.k);
  if (!bias.is_absent()) {
    spec.bias = GemmBias::kPerRow;
    spec.bias_dtype = bias.dtype;
    spec.bias_offsets = std::move(bias_products);
  }
  return std::make_unique<ConvStep>(std::move(spec), std::move(input), context);
}

std::unique_ptr<Step> prepare_conv(const PrepareContext& context) {
  const TensorView& x = context.inputs[0];
  const TensorView& weight = context.inputs[1];
  std::vector<std::int64_t> kernel;
  for (int i = 2; i < weight.rank; ++i) kernel.push_back(weight.dim(i));
  std::vector<ImageAxis> axes;
  int dim = 2;
  for (const mil::SpatialWindow& w : mil::spatial_windows(context.op, kernel)) {
    axes.push_back({.input = w.input,
                    .input_stride = x.stride(dim++),
                    .lead = w.pad_before,
                    .kernel = w.kernel,
                    .stride = w.stride,
                    .dilation = w.dilation,
                    .output = w.output});
  }
  return prepare(context, axes, 0);
}

std::unique_ptr<Step> prepare_conv_transpose(const PrepareContext& context) {
  const TensorView& x = context.inputs[0];
  const TensorView& weight = context.inputs[1];
  const TensorView& out = context.outputs[0];
  const std::vector<std::int64_t> strides = context.op.integers("strides");
  const std::vector<std::int64_t> dilations = context.op.integers("dilations");
  const std::string pad_type = context.op.string("pad_type");
  std::vector<std::int64_t> pad(strides.size() * 2, 0);
  if (pad_type == "custom") pad = context.op.integers("pad");
  std::vector<ImageAxis> axes;
  for (std::size_t i = 0; i < strides.size(); ++i) {
    const int dim = static_cast<int>(i) + 2;
    const std::int64_t extent = (weight.dim(dim) - 1) * dilations[i] + 1;
    std::int64_t before = pad[2 * i];
    if (pad_type == "same" || pad_type == "same_lower") {
      // What `same` takes away from the conv that this one is the transpose of.
      const std::int64_t total =
          std::max<std::int64_t>(0, (x.dim(dim) - 1) * strides[i] + extent - out.dim(dim));
      before = pad_type == "same" ? total / 2 : total - total / 2;
    }
    axes.push_back({.input = x.dim(dim),
                    .input_stride = x.stride(dim),
                    .lead = extent - 1 - before,
                    .step = strides[i],
                    .kernel = weight.dim(dim),
                    .stride = 1,
                    .dilation = dilations[i],
                    .output = out.dim(dim)});
  }
  return prepare(context, axes, 1);
}

}  // namespace

std::span<const KernelRecord> conv_kernels() {
  static const std::vector<KernelRecord> records = {
      {.op = "conv",
       .operands = {"x", "weight", "bias"},
       .prepare = &prepare_conv,
       .strided_inputs = true},
      {.op = "conv_transpose",
       .operands = {"x", "weight", "bias"},
       .prepare = &prepare_conv_transpose,
       .strided_inputs = true},
  };
  return records;
}

}  // namespace pyane::emulator
