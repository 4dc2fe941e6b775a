#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "activation";

void add(OpTable& table, std::string name, std::vector<std::string> parameters = {}) {
  OpRecord record{.name = std::move(name),
                  .opset = "ios15",
                  .family = kFamily,
                  .inputs = {operand("x", kFloats)},
                  .infer = like_x};
  for (std::string& parameter : parameters) {
    record.inputs.push_back(scalar(constant(std::move(parameter), kFloats)));
  }
  table.push_back(std::move(record));
}

std::vector<Type> infer_gelu(const OpContext& context) {
  one_of(context, "mode", {"EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"});
  return like_x(context);
}

std::vector<Type> infer_softmax(const OpContext& context) {
  context.axis("axis", context.dims("x").size());
  return like_x(context);
}

// prelu and softplus_parametric: one parameter per channel.
std::vector<Type> infer_per_channel(const OpContext& context) {
  require_rank(context, "x", 3, 5);
  for (const char* name : {"alpha", "beta"}) {
    if (!context.has(name)) continue;
    if (!may_equal(context.dims(name)[0], context.dims("x")[1])) {
      context.fail(std::string(name) + " must have one entry per channel, got " +
                   describe(context, name, "x"));
    }
  }
  return like_x(context);
}

}  // namespace

void add_activation_ops(OpTable& table) {
  for (const char* name : {"relu", "relu6", "sigmoid", "silu", "softplus", "softsign"}) {
    add(table, name);
  }
  for (const char* name : {"elu", "leaky_relu", "thresholded_relu"}) add(table, name, {"alpha"});
  for (const char* name : {"clamped_relu", "linear_activation", "scaled_tanh", "sigmoid_hard"}) {
    add(table, name, {"alpha", "beta"});
  }
  table.push_back({.name = "prelu",
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {operand("x", kFloats), vector(constant("alpha", kFloats))},
                   .infer = infer_per_channel});
  table.push_back({.name = "softplus_parametric",
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {operand("x", kFloats), vector(constant("alpha", kFloats)),
                              vector(constant("beta", kFloats))},
                   .infer = infer_per_channel});
  table.push_back(
      {.name = "gelu",
       .opset = "ios15",
       .family = kFamily,
       .inputs = {operand("x", kFloats), optional_constant("mode", kStringOnly, "EXACT")},
       .infer = infer_gelu});
  table.push_back({.name = "softmax",
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {operand("x", kFloats), optional_constant("axis", kInt32Only, -1)},
                   .infer = infer_softmax});
}

}  // namespace pyane::mil::ops
