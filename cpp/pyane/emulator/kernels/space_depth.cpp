#include <algorithm>

#include "pyane/emulator/kernels/copy.h"
#include "pyane/emulator/kernels/fill.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/table_limit.h"

// Elements moved between space and depth (channels) or batch.

namespace pyane::emulator {
namespace {

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

/// Rows (or columns) of an image that go to block entry `entry`: those `step` apart from row
/// `first` of the image on, to row `target` of the entry on.
struct Lane {
  std::int64_t first;
  std::int64_t target;
  std::int64_t count;
};

/// @param before  Rows that the padded image has before (a cropped one has lost).
Lane lane_of(std::int64_t entry, std::int64_t step, std::int64_t before, std::int64_t n_rows) {
  const std::int64_t target = before > entry ? (before - entry + step - 1) / step : 0;
  const std::int64_t first = target * step + entry - before;
  return {first, target, first < n_rows ? (n_rows - first + step - 1) / step : 0};
}

/// One copy per entry of the block, between an image [N, C, H, W] and the batches
/// [entry * N + n, C, H', W'] of a tensor.
std::unique_ptr<CopyToMany> make_block_copies(const PrepareContext& context, const char* amounts,
                                              bool is_to_batch) {
  const TensorLayout& image = is_to_batch ? context.inputs[0] : context.outputs[0];
  const TensorLayout& batch = is_to_batch ? context.outputs[0] : context.inputs[0];
  const std::vector<std::int64_t> block = context.op.integers("block_shape");
  const std::vector<std::int64_t> outside = context.op.matrix(amounts);
  require_table(context.op, block[0] * block[1], "element of a block");
  auto copies = std::make_unique<CopyToMany>();
  for (std::int64_t i = 0; i < block[0]; ++i) {
    const Lane rows = lane_of(i, block[0], outside[0], image.dim(2));
    for (std::int64_t j = 0; j < block[1]; ++j) {
      const Lane columns = lane_of(j, block[1], outside[2], image.dim(3));
      if (rows.count == 0 || columns.count == 0) continue;
      TensorLayout part = image;
      TensorLayout entry = batch;
      entry.dims[0] = image.dim(0);
      part.dims[2] = entry.dims[2] = rows.count;
      part.dims[3] = entry.dims[3] = columns.count;
      part.strides[2] *= block[0];
      part.strides[3] *= block[1];
      const std::int64_t at_part = rows.first * image.stride(2) + columns.first * image.stride(3);
      const std::int64_t at_entry = (i * block[1] + j) * image.dim(0) * batch.stride(0) +
                                    rows.target * batch.stride(2) +
                                    columns.target * batch.stride(3);
      if (is_to_batch) {
        copies->add(part, entry, at_part, at_entry);
      } else {
        copies->add(entry, part, at_entry, at_part);
      }
    }
  }
  return copies;
}

/// Zeros first, for the padding.
class SpaceToBatch final : public Step {
 public:
  explicit SpaceToBatch(const PrepareContext& context)
      : fill_(make_fill(context.outputs[0], ElementBits{})),
        copies_(make_block_copies(context, "paddings", true)) {
    const std::vector<std::int64_t> paddings = context.op.matrix("paddings");
    is_padded_ = std::any_of(paddings.begin(), paddings.end(), [](auto n) { return n > 0; });
  }
  void run(const StepArguments& arguments) const override {
    if (is_padded_) fill_->run({.inputs = {}, .outputs = arguments.outputs});
    copies_->run(arguments);
  }

 private:
  std::unique_ptr<Step> fill_;
  std::unique_ptr<CopyToMany> copies_;
  bool is_padded_ = false;
};

std::unique_ptr<Step> space_to_batch(const PrepareContext& context) {
  return std::make_unique<SpaceToBatch>(context);
}

std::unique_ptr<Step> batch_to_space(const PrepareContext& context) {
  return make_block_copies(context, "crops", false);
}

KernelRecord strided(std::string_view op, Prepare prepare) {
  return {.op = op,
          .operands = {"x"},
          .prepare = prepare,
          .strided_inputs = true,
          .strided_outputs = true};
}

}  // namespace

std::span<const KernelRecord> space_depth_kernels() {
  static const KernelRecord records[] = {
      strided("batch_to_space", batch_to_space),
      {.op = "depth_to_space", .operands = {"x"}, .prepare = depth_to_space},
      {.op = "pixel_shuffle", .operands = {"x"}, .prepare = pixel_shuffle},
      {.op = "pixel_unshuffle", .operands = {"x"}, .prepare = pixel_unshuffle},
      strided("space_to_batch", space_to_batch),
      {.op = "space_to_depth", .operands = {"x"}, .prepare = space_to_depth},
  };
  return records;
}

}  // namespace pyane::emulator
