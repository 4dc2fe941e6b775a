#include <algorithm>

#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "normalization";

// Vectors with one entry per channel of x [N, C, *D].
std::vector<Type> infer_channel_norm(const OpContext& context) {
  require_rank(context, "x", 3, 5);
  const Shape& x = context.dims("x");
  for (const char* input : {"mean", "variance", "gamma", "beta"}) {
    if (!context.has(input)) continue;
    const Shape& dims = context.dims(input);
    if (dims.size() != 1 || !may_equal(dims[0], x[1])) {
      context.fail(std::string(input) + " must have one entry per channel, got " +
                   describe(context, input, "x"));
    }
  }
  return like_x(context);
}

// gamma and beta have the shape of x along the normalised axes, in ascending order.
std::vector<Type> infer_layer_norm(const OpContext& context) {
  const Shape& x = context.dims("x");
  Shape expected = x;
  if (context.has("axes")) {
    std::vector<std::int64_t> axes = normalized_axes(context, "axes", x.size());
    std::sort(axes.begin(), axes.end());
    expected.clear();
    for (const std::int64_t axis : axes) expected.push_back(x[static_cast<std::size_t>(axis)]);
  }
  for (const char* input : {"gamma", "beta"}) {
    if (!context.has(input)) continue;
    const Shape& dims = context.dims(input);
    bool is_match = dims.size() == expected.size();
    for (std::size_t i = 0; is_match && i < dims.size(); ++i) {
      is_match = may_equal(dims[i], expected[i]);
    }
    if (!is_match) {
      context.fail(std::string(input) + " must have shape " + to_string(expected) +
                   " (x along axes), got " + to_string(dims));
    }
  }
  return like_x(context);
}

std::vector<Type> infer_l2_norm(const OpContext& context) {
  require_rank(context, "x", 3, SIZE_MAX);
  return like_x(context);
}

std::vector<Type> infer_local_response_norm(const OpContext& context) {
  require_rank(context, "x", 3, 4);
  if (context.integer("size") < 1) {
    context.fail("size must be at least 1, got " + std::to_string(context.integer("size")));
  }
  return like_x(context);
}

void add(OpTable& table, std::string name, std::vector<InputSpec> inputs, InferTypes infer) {
  table.push_back({.name = std::move(name),
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = std::move(inputs),
                   .infer = infer});
}

}  // namespace

void add_normalization_ops(OpTable& table) {
  const InputSpec x = operand("x", kFloats);
  const InputSpec gamma = optional_constant("gamma", kFloats);
  const InputSpec beta = optional_constant("beta", kFloats);
  const InputSpec epsilon = optional_constant("epsilon", kFloats, 1e-5);
  add(table, "batch_norm",
      {x, constant("mean", kFloats), constant("variance", kFloats), gamma, beta, epsilon},
      infer_channel_norm);
  add(table, "instance_norm", {x, gamma, beta, epsilon}, infer_channel_norm);
  add(table, "layer_norm", {x, vector(optional_constant("axes", kInt32Only)), gamma, beta, epsilon},
      infer_layer_norm);
  add(table, "l2_norm", {x, optional_constant("epsilon", kFloats, 1e-6)}, infer_l2_norm);
  add(table, "local_response_norm",
      {x, scalar(constant("size", kInt32Only)), optional_constant("alpha", kFloats, 1e-4),
       optional_constant("beta", kFloats, 0.75), optional_constant("k", kFloats, 1.0)},
      infer_local_response_norm);
}

}  // namespace pyane::mil::ops
