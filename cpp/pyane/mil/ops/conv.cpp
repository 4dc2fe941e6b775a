#include <algorithm>

#include "pyane/mil/ops/families.h"
#include "pyane/mil/ops/windows.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "conv";

void check_bias(const OpContext& context, std::int64_t channels) {
  if (!context.has("bias")) return;
  require_rank(context, "bias", 1, 1);
  if (!may_equal(context.dims("bias")[0], channels)) {
    context.fail("bias must have one entry per output channel (" + std::to_string(channels) +
                 "), got " + to_string(context.dims("bias")));
  }
}

std::int64_t positive_groups(const OpContext& context) {
  const std::int64_t groups = context.integer("groups");
  if (groups < 1) context.fail("groups must be at least 1, got " + std::to_string(groups));
  return groups;
}

// x [N, C, *D], weight [F, C / groups, *K] -> [N, F, *D'].
std::vector<Type> infer_conv(const OpContext& context) {
  require_rank(context, "x", 3, 5);
  const Shape& x = context.dims("x");
  require_rank(context, "weight", x.size(), x.size());
  const Shape& weight = context.dims("weight");
  const std::int64_t groups = positive_groups(context);
  if (x[1] != kUnknownDim && (x[1] % groups != 0 || !may_equal(x[1] / groups, weight[1]))) {
    context.fail(describe(context, "x", "weight") +
                 " disagree: weight must have C / groups = " + std::to_string(x[1]) + " / " +
                 std::to_string(groups) + " input channels, got " + std::to_string(weight[1]));
  }
  if (weight[0] != kUnknownDim && weight[0] % groups != 0) {
    context.fail("weight " + to_string(weight) + " must have a multiple of groups = " +
                 std::to_string(groups) + " output channels");
  }
  check_bias(context, weight[0]);
  Shape result = {x[0], weight[0]};
  const std::vector<std::int64_t> kernel(weight.begin() + 2, weight.end());
  for (const SpatialWindow& window : spatial_windows(context, kernel)) {
    result.push_back(window.output);
  }
  return one(context.dtype("x"), std::move(result));
}

// x [N, C, *D], weight [C, F / groups, *K] -> [N, F, *D'].
void require_at_least(const OpContext& context, const char* input,
                      const std::vector<std::int64_t>& values, std::int64_t low) {
  if (std::all_of(values.begin(), values.end(), [low](std::int64_t v) { return v >= low; })) return;
  context.fail(std::string(input) + " must be at least " + std::to_string(low) + ", got " +
               numbers(values));
}

std::vector<Type> infer_conv_transpose(const OpContext& context) {
  require_rank(context, "x", 3, 5);
  const Shape& x = context.dims("x");
  require_rank(context, "weight", x.size(), x.size());
  const Shape& weight = context.dims("weight");
  const std::int64_t groups = positive_groups(context);
  if (!may_equal(x[1], weight[0]) || (x[1] != kUnknownDim && x[1] % groups != 0)) {
    context.fail(
        describe(context, "x", "weight") +
        " disagree: weight must have as many input channels as x, a multiple of groups = " +
        std::to_string(groups));
  }
  const std::int64_t channels = multiply(weight[1], groups);
  check_bias(context, channels);
  const std::size_t n = x.size() - 2;
  const std::vector<std::int64_t> strides = context.integers("strides");
  const std::vector<std::int64_t> dilations = context.integers("dilations");
  const std::string pad_type =
      one_of(context, "pad_type", {"valid", "same", "same_lower", "custom"});
  std::vector<std::int64_t> pad(2 * n, 0);
  if (pad_type == "custom") pad = context.integers("pad");
  if (strides.size() != n || dilations.size() != n || pad.size() != 2 * n) {
    context.fail("strides and dilations must have " + std::to_string(n) + " entries and pad " +
                 std::to_string(2 * n) + ", got " + numbers(strides) + ", " + numbers(dilations) +
                 " and " + numbers(pad));
  }
  require_at_least(context, "strides", strides, 1);
  require_at_least(context, "dilations", dilations, 1);
  require_at_least(context, "pad", pad, 0);
  Shape result = {x[0], channels};
  for (std::size_t i = 0; i < n; ++i) {
    const std::int64_t d = x[i + 2];
    if (d == kUnknownDim) {
      result.push_back(kUnknownDim);
    } else if (pad_type == "same" || pad_type == "same_lower") {
      result.push_back(d * strides[i]);
    } else {
      result.push_back(strides[i] * (d - 1) + (weight[i + 2] - 1) * dilations[i] + 1 - pad[2 * i] -
                       pad[2 * i + 1]);
    }
  }
  if (context.has("output_shape")) {
    const std::vector<std::int64_t> shape = context.integers("output_shape");
    if (shape.size() != result.size()) {
      context.fail("output_shape must have " + std::to_string(result.size()) + " entries, got " +
                   numbers(shape));
    }
    if (!may_equal(shape[0], result[0]) || !may_equal(shape[1], result[1])) {
      context.fail("output_shape must begin with N and C_out, " +
                   to_string(Shape{result[0], result[1]}) + ", got " + numbers(shape));
    }
    result = shape;
  }
  return one(context.dtype("x"), std::move(result));
}

}  // namespace

void add_conv_ops(OpTable& table) {
  table.push_back({.name = "conv",
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {operand("x", kFloats, 'T'), operand("weight", kFloats, 'T'),
                              optional_operand("bias", kFloats, 'T'),
                              optional_constant("strides", kInt32Only, Fill{1, 1}),
                              optional_constant("pad_type", kStringOnly, "valid"),
                              optional_constant("pad", kInt32Only, Fill{0, 2}),
                              optional_constant("dilations", kInt32Only, Fill{1, 1}),
                              optional_constant("groups", kInt32Only, 1)},
                   .infer = infer_conv});
  table.push_back({.name = "conv_transpose",
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {operand("x", kFloats, 'T'), operand("weight", kFloats, 'T'),
                              optional_operand("bias", kFloats, 'T'),
                              optional_constant("pad", kInt32Only, Fill{0, 2}),
                              vector(optional_constant("output_shape", kInt32Only)),
                              optional_constant("pad_type", kStringOnly, "valid"),
                              optional_constant("strides", kInt32Only, Fill{1, 1}),
                              optional_constant("dilations", kInt32Only, Fill{1, 1}),
                              optional_constant("groups", kInt32Only, 1)},
                   .infer = infer_conv_transpose});
}

}  // namespace pyane::mil::ops
