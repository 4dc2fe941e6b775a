#include <algorithm>

#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "reduction";

Shape reduced(const OpContext& context, const std::vector<std::int64_t>& axes, bool keep_dims) {
  const Shape& dims = context.dims("x");
  Shape result;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    const bool is_reduced =
        std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(i)) != axes.end();
    if (!is_reduced) {
      result.push_back(dims[i]);
    } else if (keep_dims) {
      result.push_back(1);
    }
  }
  return result;
}

std::vector<Type> infer_reduction(const OpContext& context) {
  const std::size_t rank = context.dims("x").size();
  std::vector<std::int64_t> axes;
  if (context.has("axes")) {
    axes = normalized_axes(context, "axes", rank);
  } else {
    for (std::size_t i = 0; i < rank; ++i) axes.push_back(static_cast<std::int64_t>(i));
  }
  return one(context.dtype("x"), reduced(context, axes, context.boolean("keep_dims")));
}

std::vector<Type> infer_arg_reduction(const OpContext& context) {
  const std::int64_t axis = context.axis("axis", context.dims("x").size());
  const std::string dtype = one_of(context, "output_dtype", {"int32", "uint16"});
  return one(*dtype_from_name(dtype), reduced(context, {axis}, context.boolean("keep_dims")));
}

}  // namespace

void add_reduction_ops(OpTable& table) {
  for (const char* name :
       {"reduce_l1_norm", "reduce_l2_norm", "reduce_log_sum", "reduce_log_sum_exp", "reduce_max",
        "reduce_mean", "reduce_min", "reduce_prod", "reduce_sum", "reduce_sum_square"}) {
    table.push_back(
        {.name = name,
         .opset = "ios15",
         .family = kFamily,
         .inputs = {operand("x", kNumbers), vector(optional_constant("axes", kInt32Only)),
                    optional_constant("keep_dims", kBoolOnly, false)},
         .infer = infer_reduction});
  }
  for (const char* name : {"reduce_argmax", "reduce_argmin"}) {
    table.push_back({.name = name,
                     .opset = "ios15",
                     .family = kFamily,
                     .inputs = {operand("x", kNumbers), optional_constant("axis", kInt32Only, -1),
                                optional_constant("keep_dims", kBoolOnly, false),
                                optional_constant("output_dtype", kStringOnly, "int32")},
                     .infer = infer_arg_reduction});
  }
}

}  // namespace pyane::mil::ops
