#include "pyane/mil/ops/families.h"
#include "pyane/mil/ops/windows.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "pool";

std::vector<Type> infer_pool(const OpContext& context) {
  require_rank(context, "x", 3, 5);
  const Shape& x = context.dims("x");
  const std::vector<std::int64_t> kernel = context.integers("kernel_sizes");
  if (kernel.size() + 2 != x.size()) {
    context.fail("kernel_sizes must have one entry per spatial dimension of x " + to_string(x) +
                 ", got " + numbers(kernel));
  }
  const bool rounds_up = context.boolean("ceil_mode");
  if (rounds_up && x.size() > 4) context.fail("ceil_mode must be false for x " + to_string(x));
  if (rounds_up && context.string("pad_type") == "same") {
    context.fail("ceil_mode must be false with pad_type \"same\"");
  }
  Shape result = {x[0], x[1]};
  for (const SpatialWindow& window : spatial_windows(context, kernel, rounds_up)) {
    result.push_back(window.output);
  }
  return one(context.dtype("x"), std::move(result));
}

}  // namespace

void add_pool_ops(OpTable& table) {
  for (const char* name : {"avg_pool", "l2_pool", "max_pool"}) {
    table.push_back({.name = name,
                     .opset = "ios15",
                     .family = kFamily,
                     .inputs = {operand("x", kFloats), vector(constant("kernel_sizes", kInt32Only)),
                                optional_constant("strides", kInt32Only, Fill{1, 1}),
                                constant("pad_type", kStringOnly),
                                optional_constant("pad", kInt32Only, Fill{0, 2}),
                                optional_constant("ceil_mode", kBoolOnly, false)},
                     .infer = infer_pool});
    if (table.back().name == "avg_pool") {
      table.back().inputs.push_back(
          optional_constant("exclude_padding_from_average", kBoolOnly, false));
    }
  }
}

}  // namespace pyane::mil::ops
