#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "elementwise_binary";

Shape broadcast_or_fail(const OpContext& context, std::string_view a, std::string_view b) {
  const std::optional<Shape> dims = broadcast(context.dims(a), context.dims(b));
  if (!dims) context.fail(describe(context, a, b) + " do not broadcast");
  return *dims;
}

std::vector<Type> infer_arithmetic(const OpContext& context) {
  return one(context.dtype("x"), broadcast_or_fail(context, "x", "y"));
}

std::vector<Type> infer_comparison(const OpContext& context) {
  return one(DType::kBool, broadcast_or_fail(context, "x", "y"));
}

void add(OpTable& table, std::string name, DTypeSet dtypes, InferTypes infer) {
  table.push_back({.name = std::move(name),
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {operand("x", dtypes, 'T'), operand("y", dtypes, 'T')},
                   .infer = infer});
}

}  // namespace

void add_elementwise_binary_ops(OpTable& table) {
  for (const char* name :
       {"add", "floor_div", "maximum", "minimum", "mod", "mul", "pow", "real_div", "sub"}) {
    add(table, name, kNumbers, infer_arithmetic);
  }
  for (const char* name : {"greater", "greater_equal", "less", "less_equal"}) {
    add(table, name, kNumbers, infer_comparison);
  }
  for (const char* name : {"equal", "not_equal"}) {
    add(table, name, kNumbers | kBoolOnly, infer_comparison);
  }
  for (const char* name : {"logical_and", "logical_or", "logical_xor"}) {
    add(table, name, kBoolOnly, infer_comparison);
  }
}

}  // namespace pyane::mil::ops
