#include <algorithm>

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

bool may_be_same(const Type& a, const Type& b) {
  if (!a.is_tensor() || !b.is_tensor()) return same_type(a, b);
  return a.dtype == b.dtype && a.dims.size() == b.dims.size() &&
         std::equal(a.dims.begin(), a.dims.end(), b.dims.begin(), may_equal);
}

void require_flag(const OpContext& context, const std::string& what, const Type& type) {
  if (type.is_tensor() && type.dtype == DType::kBool && element_count(type.dims) == 1) return;
  context.fail(what + " must be one bool, got " + to_string(type));
}

void require_as_many(const OpContext& context, const char* what, std::size_t wanted,
                     std::size_t got) {
  if (wanted == got) return;
  context.fail(std::string(what) + " must give " + std::to_string(wanted) + " values, got " +
               std::to_string(got));
}

// Blocks: the true and the false branch.
std::vector<Type> infer_cond(const OpContext& context) {
  require_flag(context, "pred", context.type("pred"));
  const auto& yes = context.blocks()[0].outputs;
  const auto& no = context.blocks()[1].outputs;
  require_as_many(context, "the second block", yes.size(), no.size());
  std::vector<Type> results;
  for (std::size_t i = 0; i < yes.size(); ++i) {
    if (!may_be_same(*yes[i], *no[i])) {
      context.fail("both blocks must give values of the same types, got " + to_string(*yes[i]) +
                   " and " + to_string(*no[i]) + " as value " + std::to_string(i + 1));
    }
    results.push_back(*yes[i]);
    for (std::size_t d = 0; d < results[i].dims.size(); ++d) {
      if (yes[i]->dims[d] != no[i]->dims[d]) results[i].dims[d] = kUnknownDim;
    }
  }
  return results;
}

// Blocks: the condition and the body, both of the loop variables.
std::vector<Type> infer_while_loop(const OpContext& context) {
  const auto& condition = context.blocks()[0].outputs;
  const auto& body = context.blocks()[1];
  require_as_many(context, "the first block, the condition,", 1, condition.size());
  require_flag(context, "the condition", *condition[0]);
  require_as_many(context, "the second block, the body,", body.parameters.size(),
                  body.outputs.size());
  std::vector<Type> results;
  for (std::size_t i = 0; i < body.outputs.size(); ++i) {
    if (body.parameters[i]->kind == Type::Kind::kState) {
      context.fail("a state cannot be a loop variable; its blocks can read and write it by name");
    }
    if (!may_be_same(*body.parameters[i], *body.outputs[i])) {
      context.fail("the body must give values of the loop variables' types, got " +
                   to_string(*body.outputs[i]) + " for " + to_string(*body.parameters[i]));
    }
    results.push_back(*body.parameters[i]);
  }
  return results;
}

}  // namespace

void add_control_ops(OpTable& table) {
  table.push_back({.name = "cond",
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {operand("pred", kBoolOnly)},
                   .infer = infer_cond,
                   .returns_tuple = true,
                   .n_blocks = 2});
  InputSpec loop_vars = operand_tuple("loop_vars", ~DTypeSet{0});
  loop_vars.is_any_kind = true;
  table.push_back({.name = "while_loop",
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {loop_vars},
                   .infer = infer_while_loop,
                   .returns_tuple = true,
                   .is_impure = true,
                   .n_blocks = 2,
                   .block_parameters = "loop_vars"});
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
