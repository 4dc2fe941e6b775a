#include "pyane/mil/ops/families.h"

// Elements moved between space and depth (channels) or batch.

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "space_depth";

// Blocks of `factor` x `factor` moved from channels to space, or back when `is_inverse`.
std::vector<Type> block_moved(const OpContext& context, const char* input, bool is_inverse) {
  require_rank(context, "x", 4, 4);
  const std::int64_t factor = context.integer(input);
  if (factor < 1) {
    context.fail(std::string(input) + " must be at least 1, got " + std::to_string(factor));
  }
  Shape result = context.dims("x");
  const auto divide = [&](std::int64_t dim, std::int64_t by) {
    if (dim != kUnknownDim && dim % by != 0) {
      context.fail("x " + to_string(context.dims("x")) + " is not divisible into blocks of " +
                   std::to_string(factor) + " (" + input + ")");
    }
    return dim == kUnknownDim ? dim : dim / by;
  };
  if (is_inverse) {
    result[1] = multiply(multiply(result[1], factor), factor);
    result[2] = divide(result[2], factor);
    result[3] = divide(result[3], factor);
  } else {
    result[1] = divide(result[1], factor * factor);
    result[2] = multiply(result[2], factor);
    result[3] = multiply(result[3], factor);
  }
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> infer_depth_to_space(const OpContext& context) {
  return block_moved(context, "block_size", false);
}
std::vector<Type> infer_space_to_depth(const OpContext& context) {
  return block_moved(context, "block_size", true);
}
std::vector<Type> infer_pixel_shuffle(const OpContext& context) {
  return block_moved(context, "upscale_factor", false);
}
std::vector<Type> infer_pixel_unshuffle(const OpContext& context) {
  return block_moved(context, "downscale_factor", true);
}

// block_shape [2] and `amounts` [2, 2], the elements before and after each spatial dimension.
struct SpaceBlocks {
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> amounts;
  std::int64_t count;
};

SpaceBlocks space_blocks(const OpContext& context, const char* amounts) {
  require_rank(context, "x", 4, 4);
  SpaceBlocks blocks{
      .shape = context.integers("block_shape"), .amounts = context.matrix(amounts), .count = 1};
  if (blocks.shape.size() != 2 || context.dims(amounts) != Shape{2, 2}) {
    context.fail(std::string("block_shape and ") + amounts +
                 " must have shapes [2] and [2, 2], got " +
                 describe(context, "block_shape", amounts));
  }
  for (const std::int64_t size : blocks.shape) {
    if (size < 1) context.fail("block_shape must be at least 1, got " + numbers(blocks.shape));
    blocks.count = multiply(blocks.count, size);
  }
  for (const std::int64_t amount : blocks.amounts) {
    if (amount < 0) {
      context.fail(std::string(amounts) + " must be at least 0, got " + numbers(blocks.amounts));
    }
  }
  return blocks;
}

std::vector<Type> infer_space_to_batch(const OpContext& context) {
  const SpaceBlocks blocks = space_blocks(context, "paddings");
  Shape result = context.dims("x");
  result[0] = multiply(result[0], blocks.count);
  for (std::size_t i = 0; i < 2; ++i) {
    std::int64_t& dim = result[i + 2];
    if (dim == kUnknownDim) continue;
    dim += blocks.amounts[2 * i] + blocks.amounts[2 * i + 1];
    if (dim % blocks.shape[i] != 0) {
      context.fail("block_shape " + numbers(blocks.shape) + " must divide x " +
                   to_string(context.dims("x")) + " with its paddings, got " + std::to_string(dim) +
                   " in dimension " + std::to_string(i + 2));
    }
    dim /= blocks.shape[i];
  }
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> infer_batch_to_space(const OpContext& context) {
  const SpaceBlocks blocks = space_blocks(context, "crops");
  Shape result = context.dims("x");
  if (result[0] != kUnknownDim) {
    if (result[0] % blocks.count != 0) {
      context.fail("the batch of x " + to_string(result) + " must be a multiple of " +
                   std::to_string(blocks.count) + " (block_shape " + numbers(blocks.shape) + ")");
    }
    result[0] /= blocks.count;
  }
  for (std::size_t i = 0; i < 2; ++i) {
    std::int64_t& dim = result[i + 2];
    if (dim == kUnknownDim) continue;
    const std::int64_t cropped = blocks.amounts[2 * i] + blocks.amounts[2 * i + 1];
    dim = multiply(dim, blocks.shape[i]);
    if (cropped >= dim) {
      context.fail("crops " + numbers(blocks.amounts) + " must leave something of " +
                   std::to_string(dim) + " elements in dimension " + std::to_string(i + 2));
    }
    dim -= cropped;
  }
  return one(context.dtype("x"), std::move(result));
}

}  // namespace

void add_space_depth_ops(OpTable& table) {
  const InputSpec image = operand("x", kFloats);
  add(table, kFamily, "depth_to_space", "ios15",
      {image, scalar(constant("block_size", kInt32Only))}, infer_depth_to_space);
  add(table, kFamily, "space_to_depth", "ios15",
      {image, scalar(constant("block_size", kInt32Only))}, infer_space_to_depth);
  add(table, kFamily, "pixel_shuffle", "ios15",
      {image, scalar(constant("upscale_factor", kInt32Only))}, infer_pixel_shuffle);
  add(table, kFamily, "pixel_unshuffle", "ios16",
      {image, scalar(constant("downscale_factor", dtype_set({DType::kUint32, DType::kInt32})))},
      infer_pixel_unshuffle);
  add(table, kFamily, "space_to_batch", "ios15",
      {image, vector(constant("block_shape", kInt32Only)), constant("paddings", kInt32Only)},
      infer_space_to_batch);
  add(table, kFamily, "batch_to_space", "ios15",
      {image, vector(constant("block_shape", kInt32Only)), constant("crops", kInt32Only)},
      infer_batch_to_space);
}

}  // namespace pyane::mil::ops
