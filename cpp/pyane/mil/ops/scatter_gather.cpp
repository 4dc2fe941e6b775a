#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "scatter_gather";

void require_shape(const OpContext& context, const char* input, const Shape& expected) {
  const Shape& got = context.dims(input);
  bool is_match = got.size() == expected.size();
  for (std::size_t i = 0; is_match && i < got.size(); ++i) {
    is_match = may_equal(got[i], expected[i]);
  }
  if (!is_match) {
    context.fail(std::string(input) + " must have shape " + to_string(expected) + ", got " +
                 to_string(got));
  }
}

void require_constant_indices_inside(const OpContext& context, const char* data,
                                     std::int64_t limit) {
  if (!context.boolean("validate_indices") || limit == kUnknownDim) return;
  if (context.constant("indices") == nullptr || context.dims("indices").size() > 1) return;
  const std::vector<std::int64_t> indices = context.integers("indices");
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= limit) {
      context.fail("indices must lie in [0, " + std::to_string(limit) + ") of " + data + " " +
                   to_string(context.dims(data)) + " (validate_indices=true), got " +
                   std::to_string(index));
    }
  }
}

// The first `batch_dims` dimensions of x and indices go together.
std::size_t batch_dims(const OpContext& context) {
  const Shape& x = context.dims("x");
  const Shape& indices = context.dims("indices");
  const std::int64_t n = context.integer("batch_dims");
  if (n < 0 || n >= static_cast<std::int64_t>(std::max<std::size_t>(x.size(), 1)) ||
      n > static_cast<std::int64_t>(indices.size())) {
    context.fail("batch_dims " + std::to_string(n) + " does not fit " +
                 describe(context, "x", "indices"));
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    if (!may_equal(x[i], indices[i])) {
      context.fail(describe(context, "x", "indices") + " disagree in their first " +
                   std::to_string(n) + " dimensions (batch_dims)");
    }
  }
  return static_cast<std::size_t>(n);
}

std::vector<Type> infer_gather(const OpContext& context) {
  const Shape& x = context.dims("x");
  const Shape& indices = context.dims("indices");
  const auto axis = static_cast<std::size_t>(context.axis("axis", x.size()));
  const std::size_t n = batch_dims(context);
  if (axis < n) {
    context.fail("axis " + std::to_string(axis) + " must not be below batch_dims " +
                 std::to_string(n));
  }
  require_constant_indices_inside(context, "x", x[axis]);
  const auto at = static_cast<std::ptrdiff_t>(axis);
  Shape result(x.begin(), x.begin() + at);
  result.insert(result.end(), indices.begin() + static_cast<std::ptrdiff_t>(n), indices.end());
  result.insert(result.end(), x.begin() + at + 1, x.end());
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> infer_gather_along_axis(const OpContext& context) {
  const Shape& x = context.dims("x");
  const auto axis = static_cast<std::size_t>(context.axis("axis", x.size()));
  Shape expected = x;
  expected[axis] = kUnknownDim;
  require_shape(context, "indices", expected);
  return one(context.dtype("x"), context.dims("indices"));
}

std::vector<Type> infer_gather_nd(const OpContext& context) {
  const Shape& x = context.dims("x");
  const Shape& indices = context.dims("indices");
  if (indices.empty()) context.fail("indices must have rank 1 at least, got a scalar");
  const std::size_t n = batch_dims(context);
  const std::int64_t depth = indices.back();
  if (depth < 0 || depth + static_cast<std::int64_t>(n) > static_cast<std::int64_t>(x.size())) {
    context.fail("the last dimension of indices must be known and at most the rank of x, got " +
                 describe(context, "x", "indices"));
  }
  Shape result(indices.begin(), indices.end() - 1);
  result.insert(result.end(), x.begin() + static_cast<std::ptrdiff_t>(n) + depth, x.end());
  return one(context.dtype("x"), std::move(result));
}

void require_mode(const OpContext& context) {
  one_of(context, "mode", {"add", "div", "max", "min", "mul", "sub", "update"});
}

std::vector<Type> like_data(const OpContext& context) {
  return one(context.dtype("data"), context.dims("data"));
}

std::vector<Type> infer_scatter(const OpContext& context) {
  require_mode(context);
  const Shape& data = context.dims("data");
  const Shape& indices = context.dims("indices");
  const std::int64_t axis = context.axis("axis", data.size());
  require_constant_indices_inside(context, "data", data[static_cast<std::size_t>(axis)]);
  Shape expected(data.begin(), data.begin() + axis);
  expected.insert(expected.end(), indices.begin(), indices.end());
  expected.insert(expected.end(), data.begin() + axis + 1, data.end());
  require_shape(context, "updates", expected);
  return like_data(context);
}

std::vector<Type> infer_scatter_along_axis(const OpContext& context) {
  require_mode(context);
  Shape expected = context.dims("data");
  const std::int64_t axis = context.axis("axis", expected.size());
  expected[static_cast<std::size_t>(axis)] = kUnknownDim;
  require_shape(context, "indices", expected);
  require_shape(context, "updates", context.dims("indices"));
  return like_data(context);
}

std::vector<Type> infer_scatter_nd(const OpContext& context) {
  require_mode(context);
  const Shape& data = context.dims("data");
  const Shape& indices = context.dims("indices");
  const std::int64_t depth = indices.empty() ? kUnknownDim : indices.back();
  if (depth < 0 || depth > static_cast<std::int64_t>(data.size())) {
    context.fail("the last dimension of indices must be known and at most the rank of data, got " +
                 describe(context, "data", "indices"));
  }
  Shape expected(indices.begin(), indices.end() - 1);
  expected.insert(expected.end(), data.begin() + depth, data.end());
  require_shape(context, "updates", expected);
  return like_data(context);
}

void add_gather(OpTable& table, std::string name, const char* extent, InferTypes infer) {
  table.push_back({.name = std::move(name),
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {operand("x", kMovable), operand("indices", kIndices)},
                   .infer = infer});
  std::vector<InputSpec>& inputs = table.back().inputs;
  const std::string_view wanted = extent;
  if (wanted.find('a') != std::string_view::npos) {
    inputs.push_back(optional_constant("axis", kInt32Only, 0));
  }
  if (wanted.find('b') != std::string_view::npos) {
    inputs.push_back(optional_constant("batch_dims", kInt32Only, 0));
  }
  inputs.push_back(optional_constant("validate_indices", kBoolOnly, false));
}

void add_scatter(OpTable& table, std::string name, bool has_axis, InferTypes infer) {
  table.push_back({.name = std::move(name),
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {operand("data", kNumbers, 'T'), operand("indices", kInt32Only),
                              operand("updates", kNumbers, 'T')},
                   .infer = infer});
  std::vector<InputSpec>& inputs = table.back().inputs;
  if (has_axis) inputs.push_back(optional_constant("axis", kInt32Only, 0));
  inputs.push_back(optional_constant("mode", kStringOnly, "add"));
  inputs.push_back(optional_constant("validate_indices", kBoolOnly, false));
}

}  // namespace

void add_scatter_gather_ops(OpTable& table) {
  add_gather(table, "gather", "ab", infer_gather);
  add_gather(table, "gather_along_axis", "a", infer_gather_along_axis);
  add_gather(table, "gather_nd", "b", infer_gather_nd);
  add_scatter(table, "scatter", true, infer_scatter);
  add_scatter(table, "scatter_along_axis", true, infer_scatter_along_axis);
  add_scatter(table, "scatter_nd", false, infer_scatter_nd);
}

}  // namespace pyane::mil::ops
