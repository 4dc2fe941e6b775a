#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/base/thread_pool.h"
#include "pyane/emulator/kernels/gemm.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/mil/ops/windows.h"

// conv and conv_transpose as matrix products: weight [F, C * K] @ patches [C * K, O] for every
// image and group, K kernel elements, O output positions. The patches are not written out: element
// (c, k), o of their matrix is at one offset for (c, k) plus one for o.
//
// Where padding is needed the image is first copied into one that has it. conv_transpose is a conv
// with stride 1 of the image spread out with stride - 1 zeros in between, by the reversed kernel.

namespace pyane::emulator {
namespace {

constexpr std::size_t kMaxSpatial = 3;
/// As of any tensor (planner).
constexpr double kMaxPaddedBytes = static_cast<double>(std::int64_t{1} << 40);

/// Where elements of one spatial dimension go in the padded image: i -> lead + i * step, dropped
/// when outside [0, size).
struct Spread {
  std::int64_t input = 1;
  std::int64_t input_stride = 0;
  std::int64_t lead = 0;
  std::int64_t step = 1;
  std::int64_t size = 1;
};

/// Copies [N, C, *D] into a padded, contiguous [N, C, *size].
struct PaddedCopy {
  std::int64_t images = 0;
  std::int64_t channels = 0;
  std::int64_t image_stride = 0;
  std::int64_t channel_stride = 0;
  std::array<Spread, kMaxSpatial> spreads = {};  // Innermost last; leading ones may be trivial.

  std::int64_t channel_size() const { return spreads[0].size * spreads[1].size * spreads[2].size; }
  std::int64_t size() const { return images * channels * channel_size(); }

  template <typename T>
  void run(const T* x, T* padded) const {
    parallel_for(static_cast<std::size_t>(images * channels), [&](std::size_t task) {
      const auto i = static_cast<std::int64_t>(task);
      T* target = padded + i * channel_size();
      std::memset(target, 0, static_cast<std::size_t>(channel_size()) * sizeof(T));
      copy(x + i / channels * image_stride + i % channels * channel_stride, target, 0);
    });
  }

 private:
  template <typename T>
  void copy(const T* x, T* target, std::size_t dim) const {
    const Spread& s = spreads[dim];
    std::int64_t inner = 1;
    for (std::size_t i = dim + 1; i < kMaxSpatial; ++i) inner *= spreads[i].size;
    for (std::int64_t i = 0; i < s.input; ++i) {
      const std::int64_t at = s.lead + i * s.step;
      if (at < 0 || at >= s.size) continue;
      if (dim + 1 == kMaxSpatial) {
        target[at] = x[i * s.input_stride];
      } else {
        copy(x + i * s.input_stride, target + at * inner, dim + 1);
      }
    }
  }
};

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
  ConvStep(GemmSpec spec, const PaddedCopy& padding, bool is_padded, const PrepareContext& context)
      : gemm_(std::move(spec)),
        padding_(padding),
        is_padded_(is_padded),
        x_dtype_(context.inputs[0].dtype) {
    if (is_padded_) {
      constexpr std::size_t kAlign = 64;
      const std::size_t bytes = static_cast<std::size_t>(padding_.size()) * dtype_size(x_dtype_);
      padded_bytes_ = (bytes + kAlign - 1) / kAlign * kAlign;
    }
    const void* weight = context.inputs[1].data;
    is_weight_packed_ = weight != nullptr && gemm_.pack_a(weight);
  }

  void run(const StepArguments& arguments) const override {
    const TensorView& bias = arguments.inputs[2];
    const std::byte* x = arguments.inputs[0].data;
    if (is_padded_) {
      if (x_dtype_ == DType::kFp16) {
        padding_.run(reinterpret_cast<const std::uint16_t*>(x),
                     reinterpret_cast<std::uint16_t*>(arguments.scratch));
      } else {
        padding_.run(reinterpret_cast<const float*>(x),
                     reinterpret_cast<float*>(arguments.scratch));
      }
      x = arguments.scratch;
    }
    gemm_.run(arguments.inputs[1].data, x, bias.is_absent() ? nullptr : bias.data,
              arguments.outputs[0].data, arguments.scratch + padded_bytes_);
  }
  std::size_t scratch_bytes() const override { return padded_bytes_ + gemm_.scratch_bytes(); }
  bool reads_input(std::size_t i) const override { return i != 1 || !is_weight_packed_; }

 private:
  Gemm gemm_;
  PaddedCopy padding_;
  bool is_padded_;
  DType x_dtype_;
  std::size_t padded_bytes_ = 0;
  bool is_weight_packed_ = false;
};

/// One spatial dimension of the product: output position o and kernel element k meet input
/// position o * stride + k * dilation of the padded image.
struct Window {
  std::int64_t kernel;
  std::int64_t stride;
  std::int64_t dilation;
  std::int64_t output;
  Spread spread;
};

/// Large strides make small results of large paddings, so the verifier's bounds do not hold here.
/// @throws CompileError  for a padded image whose bytes do not fit kMaxPaddedBytes.
void require_size(const mil::OpContext& op, const PaddedCopy& padding, std::size_t element_bytes) {
  // Not in integers, which would overflow.
  double bytes = static_cast<double>(padding.images) * static_cast<double>(padding.channels) *
                 static_cast<double>(element_bytes);
  for (const Spread& spread : padding.spreads) bytes *= static_cast<double>(spread.size);
  if (bytes <= kMaxPaddedBytes) return;
  throw CompileError(op.record().name + " '" + op.operation().display_name() +
                     "': the emulator cannot hold x with its padding, which takes about " +
                     std::to_string(bytes / 1e9) + " GB");
}

/// @param out_channel_dim  Dimension of the weight that counts output channels: 0, or 1 for
///   conv_transpose, whose kernel is also read backwards.
std::unique_ptr<Step> prepare(const PrepareContext& context, const std::vector<Window>& windows,
                              int out_channel_dim) {
  const TensorView& x = context.inputs[0];
  const TensorView& weight = context.inputs[1];
  const TensorView& bias = context.inputs[2];
  const TensorView& out = context.outputs[0];
  const bool is_transpose = out_channel_dim == 1;
  const std::int64_t groups = context.op.integer("groups");
  const std::int64_t channels = x.dim(1) / groups;  // Of one group.
  const std::int64_t filters = out.dim(1) / groups;

  TensorLayout image = x;
  PaddedCopy padding{.images = x.dim(0),
                     .channels = x.dim(1),
                     .image_stride = x.stride(0),
                     .channel_stride = x.stride(1)};
  bool is_padded = false;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const Spread& s = windows[i].spread;
    is_padded = is_padded || s.lead != 0 || s.step != 1 || s.size > s.input;
    padding.spreads[kMaxSpatial - windows.size() + i] = s;
  }
  if (is_padded) {
    require_size(context.op, padding, x.element_bytes());
    Shape shape = {x.dim(0), x.dim(1)};
    for (const Window& window : windows) shape.push_back(window.spread.size);
    image = TensorLayout::contiguous(x.dtype, shape);
  }

  // Rows of the patch matrix are (c, k), its columns o; the weight's columns are (c, k) too.
  Walk patch_rows;
  Walk patch_cols;
  Walk weight_rows;
  Walk weight_cols;
  patch_rows.nest(channels, image.stride(1));
  weight_rows.nest(filters, weight.stride(out_channel_dim));
  weight_cols.nest(channels, weight.stride(1 - out_channel_dim));
  std::int64_t kernel_start = 0;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const Window& w = windows[i];
    const int dim = static_cast<int>(i) + 2;
    patch_rows.nest(w.kernel, w.dilation * image.stride(dim));
    patch_cols.nest(w.output, w.stride * image.stride(dim));
    weight_cols.nest(w.kernel, is_transpose ? -weight.stride(dim) : weight.stride(dim));
    if (is_transpose) kernel_start += (w.kernel - 1) * weight.stride(dim);
  }

  require_offsets(context.op, x.dim(0) * groups);
  Offsets x_products;
  Offsets weight_products;
  Offsets out_products;
  Offsets bias_products;
  for (std::int64_t n = 0; n < x.dim(0); ++n) {
    for (std::int64_t g = 0; g < groups; ++g) {
      x_products.push_back(n * image.stride(0) + g * channels * image.stride(1));
      weight_products.push_back(kernel_start +
                                g * (is_transpose ? channels : filters) * weight.stride(0));
      out_products.push_back(n * out.stride(0) + g * filters * out.stride(1));
      bias_products.push_back(g * filters);
    }
  }

  GemmSpec spec{{.m = filters, .n = patch_cols.size(), .k = patch_rows.size()}};
  spec.a = operand(context.op, weight.dtype, weight_rows, weight_cols, std::move(weight_products));
  spec.b = operand(context.op, x.dtype, patch_rows, patch_cols, std::move(x_products));
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
  return std::make_unique<ConvStep>(std::move(spec), padding, is_padded, context);
}

std::unique_ptr<Step> prepare_conv(const PrepareContext& context) {
  const TensorView& x = context.inputs[0];
  const TensorView& weight = context.inputs[1];
  std::vector<std::int64_t> kernel;
  for (int i = 2; i < weight.rank; ++i) kernel.push_back(weight.dim(i));
  std::vector<Window> windows;
  int dim = 2;
  for (const mil::SpatialWindow& w : mil::spatial_windows(context.op, kernel)) {
    windows.push_back(
        {.kernel = w.kernel,
         .stride = w.stride,
         .dilation = w.dilation,
         .output = w.output,
         .spread = {.input = w.input,
                    .input_stride = x.stride(dim++),
                    .lead = w.pad_before,
                    .size = (w.output - 1) * w.stride + (w.kernel - 1) * w.dilation + 1}});
  }
  return prepare(context, windows, 0);
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
  std::vector<Window> windows;
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
    windows.push_back({.kernel = weight.dim(dim),
                       .stride = 1,
                       .dilation = dilations[i],
                       .output = out.dim(dim),
                       .spread = {.input = x.dim(dim),
                                  .input_stride = x.stride(dim),
                                  .lead = extent - 1 - before,
                                  .step = strides[i],
                                  .size = out.dim(dim) - 1 + extent}});
  }
  return prepare(context, windows, 1);
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
