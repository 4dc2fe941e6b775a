#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "quantization";

constexpr DTypeSet kInt8s = dtype_set({DType::kInt8, DType::kUint8});

// scale and zero_point: both scalars, or both vectors over `axis`.
void check_parameters(const OpContext& context) {
  const Shape& x = context.dims("input");
  const Shape& scale = context.dims("scale");
  if (scale.size() > 1) context.fail("scale must be a scalar or a vector, got " + to_string(scale));
  if (context.has("zero_point")) {
    const Shape& zero_point = context.dims("zero_point");
    if (zero_point.size() != scale.size() ||
        (!scale.empty() && !may_equal(scale[0], zero_point[0]))) {
      context.fail(describe(context, "scale", "zero_point") + " must have the same shape");
    }
  }
  if (scale.empty()) return;
  if (!context.has("axis")) context.fail("a vector of scales needs the argument 'axis'");
  const auto axis = static_cast<std::size_t>(context.axis("axis", x.size()));
  if (!may_equal(scale[0], x[axis])) {
    context.fail("scale must have " + std::to_string(x[axis]) + " entries (input " + to_string(x) +
                 " along axis " + std::to_string(axis) + "), got " + std::to_string(scale[0]));
  }
}

std::vector<Type> infer_quantize(const OpContext& context) {
  check_parameters(context);
  const DType dtype = *dtype_from_name(one_of(context, "output_dtype", {"int8", "uint8"}));
  if (context.has("zero_point") && context.dtype("zero_point") != dtype) {
    context.fail("zero_point must be " + std::string(dtype_name(dtype)) + " as output_dtype, got " +
                 to_string(context.type("zero_point")));
  }
  return one(dtype, context.dims("input"));
}

std::vector<Type> infer_dequantize(const OpContext& context) {
  check_parameters(context);
  return one(context.dtype("scale"), context.dims("input"));
}

void add(OpTable& table, std::string name, std::vector<InputSpec> inputs, InferTypes infer) {
  table.push_back({.name = std::move(name),
                   .opset = "ios17",
                   .family = kFamily,
                   .inputs = std::move(inputs),
                   .infer = infer});
}

}  // namespace

void add_quantization_ops(OpTable& table) {
  const InputSpec axis = scalar(optional_constant("axis", kInt32Only));
  add(table, "dequantize",
      {operand("input", kInt8s, 'S'), optional_constant("zero_point", kInt8s, {}, 'S'),
       constant("scale", kFloats), axis},
      infer_dequantize);
  add(table, "quantize",
      {operand("input", kFloats, 'S'), optional_constant("zero_point", kInt8s),
       constant("scale", kFloats, 'S'), axis, constant("output_dtype", kStringOnly)},
      infer_quantize);
}

}  // namespace pyane::mil::ops
