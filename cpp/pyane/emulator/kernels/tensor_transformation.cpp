#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/reshape.h"

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

std::optional<SubTensor> view_crop(const OpContext& op, const TensorLayout& x, std::size_t,
                                   const Shape& dims) {
  SubTensor view{.layout = x};
  const std::size_t rank = at(x.rank);
  view.offset = op.integers("crop_height")[0] * x.strides[rank - 2] +
                op.integers("crop_width")[0] * x.strides[rank - 1];
  for (std::size_t i = 0; i < rank; ++i) view.layout.dims[i] = dims[i];
  return view;
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
      {.op = "crop", .operands = {"x"}, .view = view_crop},
      {.op = "expand_dims", .operands = {"x"}, .view = view_reshape},
      {.op = "flatten2d", .operands = {"x"}, .view = view_reshape},
      {.op = "identity", .operands = {"x"}, .view = view_reshape},
      {.op = "reshape", .operands = {"x"}, .view = view_reshape},
      {.op = "reshape_like", .operands = {"x"}, .view = view_reshape},
      {.op = "reverse", .operands = {"x"}, .view = view_reverse},
      {.op = "sliding_windows", .operands = {"x"}, .view = view_sliding_windows},
      {.op = "squeeze", .operands = {"x"}, .view = view_reshape},
      // Buffers without gaps and interleaving only: the planner refuses others.
      {.op = "tensor_buffer_to_tensor", .operands = {"input"}, .view = view_reshape},
      {.op = "tensor_to_tensor_buffer", .operands = {"input"}, .view = view_reshape},
      {.op = "transpose", .operands = {"x"}, .view = view_transpose},
  };
  return records;
}

}  // namespace pyane::emulator
