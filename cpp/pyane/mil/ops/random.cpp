#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "random";

/// Element type of the distribution's parameter `input`, whose default is fp32.
DType parameter_dtype(const OpContext& context, const char* input) {
  return context.has(input) ? context.dtype(input) : DType::kFp32;
}

std::vector<Type> of_shape(const OpContext& context, DType dtype) {
  const Shape& length = context.dims("shape");
  if (context.constant("shape") == nullptr) {
    if (length[0] == kUnknownDim) context.fail("shape must have a known length");
    return one(dtype, Shape(static_cast<std::size_t>(length[0]), kUnknownDim));
  }
  Shape shape = context.integers("shape");
  for (const std::int64_t dim : shape) {
    if (dim < 1) context.fail("shape must be positive, got " + numbers(shape));
  }
  return one(dtype, std::move(shape));
}

std::vector<Type> infer_bernoulli(const OpContext& context) {
  const double prob = context.real("prob");
  if (!(prob >= 0 && prob <= 1)) {
    context.fail("prob must lie in [0, 1], got " + std::to_string(prob));
  }
  return of_shape(context, parameter_dtype(context, "prob"));
}

// One of two parameters may be left out; both have one element type.
std::vector<Type> of_either(const OpContext& context, const char* a, const char* b) {
  return of_shape(context, parameter_dtype(context, context.has(a) ? a : b));
}

std::vector<Type> infer_normal(const OpContext& context) {
  if (!(context.real("stddev") >= 0)) {
    context.fail("stddev must be at least 0, got " + std::to_string(context.real("stddev")));
  }
  return of_either(context, "mean", "stddev");
}

std::vector<Type> infer_uniform(const OpContext& context) {
  const double low = context.real("low");
  const double high = context.real("high");
  if (!(low <= high)) {
    context.fail("low must not be above high, got " + std::to_string(low) + " and " +
                 std::to_string(high));
  }
  return of_either(context, "low", "high");
}

std::vector<Type> infer_categorical(const OpContext& context) {
  one_of(context, "mode", {"logits", "probs"});
  Shape result = context.dims("x");
  if (result.empty()) context.fail("x must have rank 1 at least, got a scalar");
  result.back() = context.integer("size");
  if (result.back() < 1) {
    context.fail("size must be at least 1, got " + std::to_string(result.back()));
  }
  return one(context.dtype("x"), std::move(result));
}

}  // namespace

void add_random_ops(OpTable& table) {
  const InputSpec shape = vector(operand("shape", kInt32Only));
  const InputSpec seed = optional_constant("seed", kInt32Only, -1);
  add(table, kFamily, "random_bernoulli", "ios15",
      {shape, optional_constant("prob", kFloats, 0.5), seed}, infer_bernoulli);
  add(table, kFamily, "random_categorical", "ios15",
      {operand("x", kFloats), optional_constant("mode", kStringOnly, "logits"),
       optional_constant("size", kInt32Only, 1), seed},
      infer_categorical);
  add(table, kFamily, "random_normal", "ios15",
      {shape, optional_constant("mean", kFloats, 0.0, 'T'),
       optional_constant("stddev", kFloats, 1.0, 'T'), seed},
      infer_normal);
  add(table, kFamily, "random_uniform", "ios15",
      {shape, optional_constant("low", kFloats, 0.0, 'T'),
       optional_constant("high", kFloats, 1.0, 'T'), seed},
      infer_uniform);
}

}  // namespace pyane::mil::ops
