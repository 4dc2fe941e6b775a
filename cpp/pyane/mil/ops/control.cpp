#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "control";

// The verifier turns `const` into a value of its own; the record is for listing and names.
std::vector<Type> infer_const(const OpContext& context) { return {context.type("val")}; }

std::vector<Type> infer_select(const OpContext& context) {
  const std::optional<Shape> branches = broadcast(context.dims("a"), context.dims("b"));
  const std::optional<Shape> result =
      branches ? broadcast(context.dims("cond"), *branches) : std::nullopt;
  if (!result) {
    context.fail("cond " + to_string(context.dims("cond")) + ", " + describe(context, "a", "b") +
                 " do not broadcast");
  }
  return one(context.dtype("a"), *result);
}

std::vector<Type> infer_from_buffer(const OpContext& context) {
  return one(context.dtype("input"), context.dims("input"));
}

std::vector<Type> infer_to_buffer(const OpContext& context) {
  Type result = context.type("input");
  result.kind = Type::Kind::kTensorBuffer;
  result.strides = context.integers("strides");
  result.interleave_factors = context.integers("interleave_factors");
  for (const auto* layout : {&result.strides, &result.interleave_factors}) {
    if (layout->size() != result.dims.size()) {
      context.fail("strides and interleave_factors must have one entry per dimension of " +
                   to_string(context.dims("input")) + ", got " + numbers(*layout));
    }
  }
  return {result};
}

}  // namespace

void add_control_ops(OpTable& table) {
  table.push_back({.name = "const",
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {constant("val", ~DTypeSet{0})},
                   .infer = infer_const,
                   .inputs_are_attributes = true});
  table.push_back({.name = "select",
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {operand("cond", kBoolOnly), operand("a", kMovable, 'T'),
                              operand("b", kMovable, 'T')},
                   .infer = infer_select});
  // Seen in programs that Apple's compiler wrote for the engine; not in coremltools.
  InputSpec buffer = operand("input", ~DTypeSet{0});
  buffer.kind = Type::Kind::kTensorBuffer;
  table.push_back({.name = "tensor_buffer_to_tensor",
                   .opset = "ios17",
                   .family = kFamily,
                   .inputs = {buffer},
                   .infer = infer_from_buffer});
  table.push_back(
      {.name = "tensor_to_tensor_buffer",
       .opset = "ios17",
       .family = kFamily,
       .inputs = {operand("input", ~DTypeSet{0}),
                  constant("strides", dtype_set({DType::kInt64, DType::kInt32})),
                  constant("interleave_factors", dtype_set({DType::kUint8, DType::kInt32}))},
       .infer = infer_to_buffer});
}

}  // namespace pyane::mil::ops
