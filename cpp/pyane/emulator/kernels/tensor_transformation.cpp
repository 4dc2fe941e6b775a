#include <algorithm>
#include <array>

#include "pyane/base/error.h"
#include "pyane/emulator/kernels/copy.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/reshape.h"
#include "pyane/mil/ops/windows.h"

namespace pyane::emulator {
namespace {

using mil::OpContext;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::optional<SubTensor> view_reshape(const OpContext&, const TensorLayout& x, std::size_t,
                                      const Shape& dims) {
  const std::optional<TensorLayout> layout = reshaped(x, dims);
  if (!layout) return std::nullopt;
  return SubTensor{.layout = *layout};
}

std::optional<SubTensor> view_transpose(const OpContext& op, const TensorLayout& x, std::size_t,
                                        const Shape&) {
  SubTensor view{.layout = x};
  const std::vector<std::int64_t> perm = op.integers("perm");
  for (int i = 0; i < x.rank; ++i) {
    const std::int64_t from = perm[at(i)] < 0 ? perm[at(i)] + x.rank : perm[at(i)];
    view.layout.dims[at(i)] = x.dims[at(from)];
    view.layout.strides[at(i)] = x.strides[at(from)];
  }
  return view;
}

std::optional<SubTensor> slice(const TensorLayout& x, const std::vector<mil::SliceRange>& ranges) {
  SubTensor view{.layout = x};
  view.layout.rank = 0;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const mil::SliceRange& range = ranges[i];
    if (range.begin == kUnknownDim || range.count == kUnknownDim) return std::nullopt;
    // An empty slice may begin past the end; it has no first element to point at.
    if (range.count > 0) view.offset += range.begin * x.strides[i];
    if (range.is_squeezed) continue;
    const auto axis = static_cast<std::size_t>(view.layout.rank++);
    view.layout.dims[axis] = range.count;
    view.layout.strides[axis] = x.strides[i] * range.stride;
  }
  return view;
}

std::optional<SubTensor> view_slice_by_index(const OpContext& op, const TensorLayout& x,
                                             std::size_t, const Shape&) {
  return slice(x, mil::resolve_slice_by_index(op));
}

std::optional<SubTensor> view_slice_by_size(const OpContext& op, const TensorLayout& x, std::size_t,
                                            const Shape&) {
  if (op.constant("begin") == nullptr) return std::nullopt;
  return slice(x, mil::resolve_slice_by_size(op));
}

std::optional<SubTensor> view_reverse(const OpContext& op, const TensorLayout& x, std::size_t,
                                      const Shape&) {
  SubTensor view{.layout = x};
  std::vector<std::int64_t> axes;
  if (op.has("axes")) {
    axes = op.integers("axes");
  } else {
    for (int i = 0; i < x.rank; ++i) axes.push_back(i);
  }
  for (const std::int64_t given : axes) {
    const std::size_t axis = at(given < 0 ? given + x.rank : given);
    if (x.dims[axis] > 0) view.offset += (x.dims[axis] - 1) * x.strides[axis];
    view.layout.strides[axis] = -x.strides[axis];
  }
  return view;
}

/// slice_by_size whose begin is computed by the program.
class DynamicSlice final : public Step {
 public:
  explicit DynamicSlice(const PrepareContext& context)
      : sizes_(context.outputs[0].shape()), name_(context.op.operation().display_name()) {
    TensorLayout window = context.inputs[0];
    for (std::size_t i = 0; i < sizes_.size(); ++i) window.dims[i] = sizes_[i];
    copy_ = make_copy(window, context.outputs[0]);
  }

  void run(const StepArguments& arguments) const override {
    TensorView x = arguments.inputs[0];
    const TensorView& begin = arguments.inputs[1];
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
      const std::int64_t given = element(begin, static_cast<std::int64_t>(i));
      const std::int64_t first = given < 0 ? given + x.dims[i] : given;
      if (first < 0 || first + sizes_[i] > x.dims[i]) {
        throw EvaluateError("slice_by_size '" + name_ + "': begin[" + std::to_string(i) +
                                "] must lie in [0, " + std::to_string(x.dims[i] - sizes_[i]) +
                                "], got " + std::to_string(given),
                            0);
      }
      x.data += first * x.strides[i] * static_cast<std::int64_t>(x.element_bytes());
      x.dims[i] = sizes_[i];
    }
    copy_->run({.inputs = std::span(&x, 1), .outputs = arguments.outputs});
  }

 private:
  static std::int64_t element(const TensorView& tensor, std::int64_t i) {
    const std::int64_t offset = i * tensor.strides[0];
    switch (tensor.dtype) {
      case DType::kInt8:
        return tensor.as<std::int8_t>()[offset];
      case DType::kInt16:
        return tensor.as<std::int16_t>()[offset];
      default:
        return tensor.as<std::int32_t>()[offset];
    }
  }

  Shape sizes_;
  std::string name_;
  std::unique_ptr<Step> copy_;
};

std::unique_ptr<Step> prepare_slice_by_size(const PrepareContext& context) {
  return std::make_unique<DynamicSlice>(context);
}

/// A copy between two tensors of other shapes: both are split into the same `dims`, the source then
/// permuted.
std::unique_ptr<Step> copy_permuted(const PrepareContext& context, const Shape& dims,
                                    const std::vector<std::size_t>& perm) {
  const TensorLayout split = TensorLayout::contiguous(context.inputs[0].dtype, dims);
  TensorLayout source = split;
  Shape target_dims;
  for (std::size_t i = 0; i < perm.size(); ++i) {
    source.dims[i] = split.dims[perm[i]];
    source.strides[i] = split.strides[perm[i]];
    target_dims.push_back(split.dims[perm[i]]);
  }
  return make_copy(source, TensorLayout::contiguous(source.dtype, target_dims));
}

/// [N, C * b * b, H, W] -> [N, C, H * b, W * b]. depth_to_space keeps the channel innermost of the
/// three parts of dimension 1 (as TensorFlow does), pixel_shuffle outermost (as PyTorch).
std::unique_ptr<Step> to_space(const PrepareContext& context, const char* block,
                               bool channel_first) {
  const Shape x = context.inputs[0].shape();
  const std::int64_t b = context.op.integer(block);
  const std::int64_t c = x[1] / (b * b);
  if (channel_first) {
    return copy_permuted(context, {x[0], c, b, b, x[2], x[3]}, {0, 1, 4, 2, 5, 3});
  }
  return copy_permuted(context, {x[0], b, b, c, x[2], x[3]}, {0, 3, 4, 1, 5, 2});
}

/// The inverse: [N, C, H * b, W * b] -> [N, C * b * b, H, W].
std::unique_ptr<Step> from_space(const PrepareContext& context, const char* block,
                                 bool channel_first) {
  const Shape x = context.inputs[0].shape();
  const std::int64_t b = context.op.integer(block);
  const Shape dims = {x[0], x[1], x[2] / b, b, x[3] / b, b};
  if (channel_first) return copy_permuted(context, dims, {0, 1, 3, 5, 2, 4});
  return copy_permuted(context, dims, {0, 3, 5, 1, 2, 4});
}

std::unique_ptr<Step> depth_to_space(const PrepareContext& context) {
  return to_space(context, "block_size", false);
}
std::unique_ptr<Step> space_to_depth(const PrepareContext& context) {
  return from_space(context, "block_size", false);
}
std::unique_ptr<Step> pixel_shuffle(const PrepareContext& context) {
  return to_space(context, "upscale_factor", true);
}
std::unique_ptr<Step> pixel_unshuffle(const PrepareContext& context) {
  return from_space(context, "downscale_factor", true);
}

/// Overlapping windows are a view: the new dimension steps through the same memory.
std::optional<SubTensor> view_sliding_windows(const OpContext& op, const TensorLayout& x,
                                              std::size_t, const Shape& dims) {
  const std::int64_t axis = op.axis("axis", at(x.rank));
  SubTensor view{.layout = x};
  view.layout.rank = x.rank + 1;
  for (std::int64_t i = 0, from = 0; i < view.layout.rank; ++i) {
    view.layout.dims[at(i)] = dims[at(i)];
    if (i == axis + 1) {
      view.layout.strides[at(i)] = x.strides[at(axis)];
    } else {
      view.layout.strides[at(i)] = x.strides[at(from)] * (i == axis ? op.integer("stride") : 1);
      ++from;
    }
  }
  return view;
}

}  // namespace

std::span<const KernelRecord> tensor_transformation_kernels() {
  static const KernelRecord records[] = {
      {.op = "depth_to_space", .operands = {"x"}, .prepare = depth_to_space},
      {.op = "expand_dims", .operands = {"x"}, .view = view_reshape},
      {.op = "flatten2d", .operands = {"x"}, .view = view_reshape},
      {.op = "identity", .operands = {"x"}, .view = view_reshape},
      {.op = "pixel_shuffle", .operands = {"x"}, .prepare = pixel_shuffle},
      {.op = "pixel_unshuffle", .operands = {"x"}, .prepare = pixel_unshuffle},
      {.op = "reshape", .operands = {"x"}, .view = view_reshape},
      {.op = "reverse", .operands = {"x"}, .view = view_reverse},
      {.op = "slice_by_index", .operands = {"x"}, .view = view_slice_by_index},
      {.op = "slice_by_size",
       .operands = {"x", "begin"},
       .prepare = prepare_slice_by_size,
       .strided_inputs = true,
       .strided_outputs = true,
       .view = view_slice_by_size},
      {.op = "sliding_windows", .operands = {"x"}, .view = view_sliding_windows},
      {.op = "space_to_depth", .operands = {"x"}, .prepare = space_to_depth},
      {.op = "squeeze", .operands = {"x"}, .view = view_reshape},
      {.op = "transpose", .operands = {"x"}, .view = view_transpose},
  };
  return records;
}

}  // namespace pyane::emulator
