#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "elementwise_unary";

void add(OpTable& table, std::string name, DTypeSet dtypes) {
  table.push_back({.name = std::move(name),
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {operand("x", dtypes)},
                   .infer = like_x});
}

void add_with_epsilon(OpTable& table, std::string name, double epsilon) {
  table.push_back(
      {.name = std::move(name),
       .opset = "ios15",
       .family = kFamily,
       .inputs = {operand("x", kFloats), optional_constant("epsilon", kFloats, epsilon)},
       .infer = like_x});
}

std::vector<Type> infer_cast(const OpContext& context) {
  const std::string name = one_of(
      context, "dtype", {"fp16", "fp32", "int8", "uint8", "int16", "uint16", "int32", "bool"});
  return one(*dtype_from_name(name), context.dims("x"));
}

}  // namespace

void add_elementwise_unary_ops(OpTable& table) {
  for (const char* name : {"abs", "exp2", "sign", "square"}) add(table, name, kNumbers);
  for (const char* name : {"acos", "asin", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp",
                           "floor", "round", "sin", "sinh", "sqrt", "tan", "tanh"}) {
    add(table, name, kFloats);
  }
  add(table, "logical_not", kBoolOnly);
  add_with_epsilon(table, "inverse", 1e-4);
  add_with_epsilon(table, "log", 1e-45);
  add_with_epsilon(table, "rsqrt", 1e-12);
  table.push_back({.name = "cast",
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {operand("x", kMovable), constant("dtype", kStringOnly)},
                   .infer = infer_cast});
  table.push_back({.name = "clip",
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {operand("x", kFloats, 'T'), scalar(constant("alpha", kFloats, 'T')),
                              scalar(constant("beta", kFloats, 'T'))},
                   .infer = like_x});
  table.push_back(
      {.name = "threshold",
       .opset = "ios15",
       .family = kFamily,
       .inputs = {operand("x", kNumbers, 'T'), scalar(constant("alpha", kNumbers, 'T'))},
       .infer = like_x});
}

}  // namespace pyane::mil::ops
