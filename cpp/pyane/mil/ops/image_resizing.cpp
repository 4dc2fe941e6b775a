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

void require_sampling_mode(const OpContext& context) {
  one_of(context, "sampling_mode",
         {"DEFAULT", "STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "OFFSET_CORNERS", "UNALIGN_CORNERS"});
}

// `height` and `width` name the arguments.
Shape target_size(const OpContext& context, const char* height, const char* width) {
  const Shape result = {context.integer(height), context.integer(width)};
  if (result[0] < 1 || result[1] < 1) {
    context.fail(std::string(height) + " and " + width + " must be at least 1, got " +
                 std::to_string(result[0]) + " and " + std::to_string(result[1]));
  }
  return result;
}

std::vector<Type> infer_resize_to_target(const OpContext& context) {
  require_rank(context, "x", 3, 5);
  Shape result = context.dims("x");
  const std::size_t rank = result.size();
  const Shape target = target_size(context, "target_size_height", "target_size_width");
  result[rank - 2] = target[0];
  result[rank - 1] = target[1];
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> infer_resize_bilinear(const OpContext& context) {
  require_sampling_mode(context);
  return infer_resize_to_target(context);
}

// The last `resized_dims` dimensions become the last of `shape`; 0 keeps x's.
std::vector<Type> infer_resize(const OpContext& context) {
  one_of(context, "interpolation_mode", {"LINEAR", "NEAREST_NEIGHBOR"});
  require_sampling_mode(context);
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

std::vector<Type> infer_upsample_bilinear(const OpContext& context) {
  if (context.boolean("align_corners") && context.has("half_pixel_centers") &&
      context.boolean("half_pixel_centers")) {
    context.fail("align_corners and half_pixel_centers must not both be true");
  }
  return infer_upsample(context);
}

std::vector<Type> infer_crop(const OpContext& context) {
  require_rank(context, "x", 3, 5);
  Shape result = context.dims("x");
  std::size_t axis = result.size() - 2;
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

void require_batch(const OpContext& context, const char* input, const Shape& expected) {
  const Shape& got = context.dims(input);
  bool is_match = got.size() == expected.size();
  for (std::size_t i = 0; is_match && i < got.size(); ++i) {
    is_match = may_equal(got[i], expected[i]);
  }
  if (!is_match) {
    context.fail(std::string(input) + " must have shape " + to_string(expected) + ", got " +
                 to_string(got));
  }
}

// iOS15 and iOS16 take roi [N, 1, 4 or 5, 1, 1] and give [N, B or 1, C, H, W]; iOS17 takes boxes
// [N, 4], box_indices [N] and gives [N, C, H, W].
std::vector<Type> infer_crop_resize(const OpContext& context) {
  require_rank(context, "x", 4, 4);
  require_sampling_mode(context);
  one_of(context, "box_coordinate_mode",
         {"CORNERS_HEIGHT_FIRST", "CORNERS_WIDTH_FIRST", "CENTER_SIZE_HEIGHT_FIRST",
          "CENTER_SIZE_WIDTH_FIRST"});
  const Shape& x = context.dims("x");
  const Shape target = target_size(context, "target_height", "target_width");
  if (context.has("roi") == context.has("boxes")) {
    context.fail("needs either roi (up to iOS16) or boxes (from iOS17)");
  }
  if (context.has("roi")) {
    if (context.has("box_indices")) context.fail("box_indices goes with boxes, not with roi");
    require_rank(context, "roi", 5, 5);
    const Shape& roi = context.dims("roi");
    const bool has_index = roi[2] == 5;
    require_batch(context, "roi", {roi[0], 1, has_index ? 5 : 4, 1, 1});
    return one(context.dtype("x"), {roi[0], has_index ? 1 : x[0], x[1], target[0], target[1]});
  }
  const bool is_normalized = context.boolean("normalized_coordinates");
  if (is_normalized && !is_float(context.dtype("boxes"))) {
    context.fail("boxes must be fp16 or fp32 with normalized_coordinates=true, got " +
                 to_string(context.type("boxes")));
  }
  require_rank(context, "boxes", 2, 2);
  const Shape& boxes = context.dims("boxes");
  require_batch(context, "boxes", {boxes[0], 4});
  if (context.has("box_indices")) {
    require_batch(context, "box_indices", {boxes[0]});
  } else if (boxes[0] != kUnknownDim && x[0] != kUnknownDim && boxes[0] > x[0]) {
    context.fail("needs box_indices when there are more boxes than images, got " +
                 describe(context, "boxes", "x"));
  }
  return one(context.dtype("x"), {boxes[0], x[1], target[0], target[1]});
}

std::vector<Type> infer_affine(const OpContext& context) {
  require_rank(context, "x", 4, 4);
  one_of(context, "sampling_mode", {"bilinear"});
  one_of(context, "padding_mode", {"constant"});
  one_of(context, "coordinates_mode", {"normalized_minus_one_to_one"});
  if (context.real("padding_value") != 0) {
    context.fail("padding_value must be 0, got " + std::to_string(context.real("padding_value")));
  }
  if (!context.boolean("align_corners")) context.fail("align_corners must be true");
  const Shape& x = context.dims("x");
  const Shape target = target_size(context, "output_height", "output_width");
  require_rank(context, "transform_matrix", 2, 2);
  const Shape& matrix = context.dims("transform_matrix");
  if (!may_equal(matrix[0], 1)) require_batch(context, "transform_matrix", {x[0], 6});
  require_batch(context, "transform_matrix", {matrix[0], 6});
  return one(context.dtype("x"), {x[0], x[1], target[0], target[1]});
}

std::vector<Type> infer_resample(const OpContext& context) {
  require_rank(context, "x", 4, 4);
  require_rank(context, "coordinates", 4, 4);
  one_of(context, "sampling_mode", {"bilinear", "nearest"});
  one_of(context, "padding_mode", {"constant", "border", "reflection", "symmetric"});
  one_of(context, "coordinates_mode",
         {"unnormalized", "normalized_minus_one_to_one", "normalized_zero_to_one"});
  context.boolean("align_corners");
  const Shape& x = context.dims("x");
  const Shape& coordinates = context.dims("coordinates");
  require_batch(context, "coordinates", {x[0], coordinates[1], coordinates[2], 2});
  return one(context.dtype("x"), {x[0], x[1], coordinates[1], coordinates[2]});
}

}  // namespace

void add_image_resizing_ops(OpTable& table) {
  const InputSpec x = operand("x", kFloats);
  const InputSpec height = optional_constant("scale_factor_height", kScale, 1, 'U');
  const InputSpec width = optional_constant("scale_factor_width", kScale, 1, 'U');
  add(table, kFamily, "upsample_nearest_neighbor", "ios15", {x, height, width}, infer_upsample);
  add(table, kFamily, "upsample_bilinear", "ios15",
      {x, height, width, optional_constant("align_corners", kBoolOnly, true),
       optional_constant("half_pixel_centers", kBoolOnly)},
      infer_upsample_bilinear);
  add(table, kFamily, "resize_nearest_neighbor", "ios15",
      {x, scalar(constant("target_size_height", kInt32Only)),
       scalar(constant("target_size_width", kInt32Only))},
      infer_resize_to_target);
  add(table, kFamily, "resize_bilinear", "ios15",
      {x, optional_constant("target_size_height", kInt32Only, 1),
       optional_constant("target_size_width", kInt32Only, 1),
       optional_constant("sampling_mode", kStringOnly, "DEFAULT")},
      infer_resize_bilinear);
  add(table, kFamily, "resize", "ios17",
      {operand("x", kNumbers),
       vector(operand("shape",
                      dtype_set({DType::kInt16, DType::kUint16, DType::kInt32, DType::kUint32}))),
       scalar(constant("resized_dims", dtype_set({DType::kUint32, DType::kInt32}))),
       optional_constant("interpolation_mode", kStringOnly, "LINEAR"),
       optional_constant("sampling_mode", kStringOnly, "DEFAULT")},
      infer_resize);
  add(table, kFamily, "crop", "ios15",
      {x, vector(constant("crop_height", kInt32Only)), vector(constant("crop_width", kInt32Only))},
      infer_crop);
  const InputSpec coordinates_mode = constant("coordinates_mode", kStringOnly);
  const InputSpec sampling_mode = constant("sampling_mode", kStringOnly);
  const InputSpec padding_mode = constant("padding_mode", kStringOnly);
  const InputSpec padding_value = scalar(constant("padding_value", kFloats, 'T'));
  const InputSpec align_corners = scalar(constant("align_corners", kBoolOnly));
  const InputSpec image = operand("x", kFloats, 'T');
  add(table, kFamily, "crop_resize", "ios15",
      {x, optional_operand("roi", kFloats),
       optional_operand("boxes", kFloats | dtype_set({DType::kUint16})),
       optional_operand("box_indices", dtype_set({DType::kUint16, DType::kInt32})),
       optional_constant("target_height", kInt32Only, 1),
       optional_constant("target_width", kInt32Only, 1),
       optional_constant("normalized_coordinates", kBoolOnly, false),
       optional_constant("spatial_scale", kFloats, 1.0),
       optional_constant("box_coordinate_mode", kStringOnly, "CORNERS_HEIGHT_FIRST"),
       optional_constant("sampling_mode", kStringOnly, "DEFAULT"),
       optional_constant("pad_value", kFloats, 0.0)},
      infer_crop_resize);
  add(table, kFamily, "affine", "ios15",
      {image, operand("transform_matrix", kFloats, 'T'),
       scalar(constant("output_height", kInt32Only)), scalar(constant("output_width", kInt32Only)),
       sampling_mode, padding_mode, padding_value, coordinates_mode, align_corners},
      infer_affine);
  add(table, kFamily, "resample", "ios15",
      {image, operand("coordinates", kFloats | kIndices), sampling_mode, padding_mode,
       padding_value, coordinates_mode, align_corners},
      infer_resample);
}

}  // namespace pyane::mil::ops
