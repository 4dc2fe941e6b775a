#include <cmath>

#include "pyane/mil/limits.h"
#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "image_resizing";

constexpr DTypeSet kScale = dtype_set({DType::kFp32, DType::kInt32});

std::int64_t scaled(const OpContext& context, const char* input, std::int64_t dim) {
  // The default is the integer 1.
  const double factor = context.has(input) ? context.real(input) : 1.0;
  if (!(factor > 0)) {
    context.fail(std::string(input) + " must be above 0, got " + std::to_string(factor));
  }
  if (dim == kUnknownDim) return kUnknownDim;
  if (factor > static_cast<double>(kMaxDimension)) return INT64_MAX;
  return static_cast<std::int64_t>(std::floor(factor * static_cast<double>(dim)));
}

std::vector<Type> infer_upsample(const OpContext& context) {
  require_rank(context, "x", 3, 5);
  Shape result = context.dims("x");
  const std::size_t rank = result.size();
  result[rank - 2] = scaled(context, "scale_factor_height", result[rank - 2]);
  result[rank - 1] = scaled(context, "scale_factor_width", result[rank - 1]);
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> infer_resize_to_target(const OpContext& context) {
  require_rank(context, "x", 3, 5);
  Shape result = context.dims("x");
  const std::size_t rank = result.size();
  result[rank - 2] = context.integer("target_size_height");
  result[rank - 1] = context.integer("target_size_width");
  if (result[rank - 2] < 1 || result[rank - 1] < 1) {
    context.fail("target_size_height and target_size_width must be at least 1, got " +
                 std::to_string(result[rank - 2]) + " and " + std::to_string(result[rank - 1]));
  }
  return one(context.dtype("x"), std::move(result));
}

// The last `resized_dims` dimensions become the last of `shape`; 0 keeps x's.
std::vector<Type> infer_resize(const OpContext& context) {
  one_of(context, "interpolation_mode", {"LINEAR", "NEAREST_NEIGHBOR"});
  one_of(context, "sampling_mode",
         {"DEFAULT", "STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "OFFSET_CORNERS", "UNALIGN_CORNERS"});
  require_rank(context, "shape", 1, 1);
  Shape result = context.dims("x");
  const std::int64_t n = context.integer("resized_dims");
  const std::int64_t length = context.dims("shape")[0];
  if (n < 0 || n > length || length > static_cast<std::int64_t>(result.size())) {
    context.fail("resized_dims " + std::to_string(n) + " must not exceed the length of shape, " +
                 std::to_string(length) + ", nor that the rank of x " + to_string(result));
  }
  const bool is_known = context.constant("shape") != nullptr;
  const std::vector<std::int64_t> shape =
      is_known ? context.integers("shape")
               : std::vector<std::int64_t>(static_cast<std::size_t>(length), kUnknownDim);
  const auto count = static_cast<std::size_t>(n);
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t target = shape[shape.size() - count + i];
    if (target != 0) result[result.size() - count + i] = target;
  }
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> infer_crop(const OpContext& context) {
  require_rank(context, "x", 4, 4);
  Shape result = context.dims("x");
  std::size_t axis = 2;
  for (const char* input : {"crop_height", "crop_width"}) {
    const std::vector<std::int64_t> crop = context.integers(input);
    if (crop.size() != 2 || crop[0] < 0 || crop[1] < 0 ||
        (result[axis] != kUnknownDim && crop[0] + crop[1] >= result[axis])) {
      context.fail(std::string(input) + " must be two numbers that leave something of x " +
                   to_string(context.dims("x")) + ", got " + numbers(crop));
    }
    if (result[axis] != kUnknownDim) result[axis] -= crop[0] + crop[1];
    ++axis;
  }
  return one(context.dtype("x"), std::move(result));
}

void add(OpTable& table, std::string name, std::string opset, std::vector<InputSpec> inputs,
         InferTypes infer) {
  table.push_back({.name = std::move(name),
                   .opset = std::move(opset),
                   .family = kFamily,
                   .inputs = std::move(inputs),
                   .infer = infer});
}

}  // namespace

void add_image_resizing_ops(OpTable& table) {
  const InputSpec x = operand("x", kFloats);
  const InputSpec height = optional_constant("scale_factor_height", kScale, 1, 'U');
  const InputSpec width = optional_constant("scale_factor_width", kScale, 1, 'U');
  add(table, "upsample_nearest_neighbor", "ios15", {x, height, width}, infer_upsample);
  add(table, "upsample_bilinear", "ios15",
      {x, height, width, optional_constant("align_corners", kBoolOnly, true),
       optional_constant("half_pixel_centers", kBoolOnly)},
      infer_upsample);
  add(table, "resize_nearest_neighbor", "ios15",
      {x, scalar(constant("target_size_height", kInt32Only)),
       scalar(constant("target_size_width", kInt32Only))},
      infer_resize_to_target);
  add(table, "resize_bilinear", "ios15",
      {x, optional_constant("target_size_height", kInt32Only, 1),
       optional_constant("target_size_width", kInt32Only, 1),
       optional_constant("sampling_mode", kStringOnly, "DEFAULT")},
      infer_resize_to_target);
  add(table, "resize", "ios17",
      {operand("x", kNumbers),
       vector(operand("shape",
                      dtype_set({DType::kInt16, DType::kUint16, DType::kInt32, DType::kUint32}))),
       scalar(constant("resized_dims", dtype_set({DType::kUint32, DType::kInt32}))),
       optional_constant("interpolation_mode", kStringOnly, "LINEAR"),
       optional_constant("sampling_mode", kStringOnly, "DEFAULT")},
      infer_resize);
  add(table, "crop", "ios15",
      {x, vector(constant("crop_height", kInt32Only)), vector(constant("crop_width", kInt32Only))},
      infer_crop);
}

}  // namespace pyane::mil::ops
