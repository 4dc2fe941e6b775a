#include <cmath>

#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "tensor_operation";

std::string shapes_of(const std::vector<const Type*>& types) {
  std::string text;
  for (const Type* type : types) text += (text.empty() ? "" : ", ") + to_string(type->dims);
  return text;
}

std::vector<Type> infer_concat(const OpContext& context) {
  const auto& values = context.types("values");
  if (values.empty()) context.fail("values must hold one tensor at least");
  Shape result = values[0]->dims;
  const bool is_interleaved = context.boolean("interleave");
  const std::size_t axis =
      static_cast<std::size_t>(context.axis("axis", std::max<std::size_t>(result.size(), 1)));
  if (result.empty()) result.push_back(1);  // Scalars count as vectors of one.
  std::int64_t total = 0;
  for (const Type* type : values) {
    Shape dims = type->dims;
    if (dims.empty() && values[0]->dims.empty()) dims.push_back(1);
    bool is_match = dims.size() == result.size();
    for (std::size_t i = 0; is_match && i < dims.size(); ++i) {
      if (i == axis && !is_interleaved) continue;
      is_match = may_equal(dims[i], result[i]);
      if (i != axis) result[i] = known_of(result[i], dims[i]);
    }
    if (!is_match) {
      context.fail(
          std::string("values must have equal dimensions") +
          (is_interleaved ? " (interleave=true)" : " except along axis " + std::to_string(axis)) +
          ", got " + shapes_of(values));
    }
    total = total == kUnknownDim || dims[axis] == kUnknownDim ? kUnknownDim : total + dims[axis];
  }
  result[axis] = total;
  return one(values[0]->dtype, std::move(result));
}

std::vector<Type> infer_stack(const OpContext& context) {
  const auto& values = context.types("values");
  if (values.empty()) context.fail("values must hold one tensor at least");
  Shape result = values[0]->dims;
  for (const Type* type : values) {
    bool is_match = type->dims.size() == result.size();
    for (std::size_t i = 0; is_match && i < result.size(); ++i) {
      is_match = may_equal(type->dims[i], result[i]);
      result[i] = known_of(result[i], type->dims[i]);
    }
    if (!is_match) context.fail("values must have equal shapes, got " + shapes_of(values));
  }
  const std::int64_t axis = context.axis("axis", result.size() + 1);
  result.insert(result.begin() + axis, static_cast<std::int64_t>(values.size()));
  return one(values[0]->dtype, std::move(result));
}

std::vector<Type> infer_split(const OpContext& context) {
  const Shape& x = context.dims("x");
  const auto axis = static_cast<std::size_t>(context.axis("axis", x.size()));
  std::vector<std::int64_t> sizes;
  if (context.has("split_sizes")) {
    sizes = context.integers("split_sizes");
    std::int64_t total = 0;
    for (const std::int64_t size : sizes) {
      if (size < 1) context.fail("split_sizes must be at least 1, got " + numbers(sizes));
      total += size;
    }
    if (!may_equal(x[axis], total)) {
      context.fail("split_sizes " + numbers(sizes) + " must add up to " + std::to_string(x[axis]) +
                   ", dimension " + std::to_string(axis) + " of x " + to_string(x) + ", got " +
                   std::to_string(total));
    }
    if (context.has("num_splits") &&
        context.integer("num_splits") != static_cast<std::int64_t>(sizes.size())) {
      context.fail("num_splits " + std::to_string(context.integer("num_splits")) +
                   " and split_sizes " + numbers(sizes) + " disagree");
    }
  } else if (context.has("num_splits")) {
    const std::int64_t n = context.integer("num_splits");
    constexpr std::int64_t kMaxSplits = 65536;  // Of hostile text; the results are all made here.
    if (n < 1 || n > kMaxSplits || (x[axis] != kUnknownDim && x[axis] % n != 0)) {
      context.fail("num_splits " + std::to_string(n) + " must lie in [1, " +
                   std::to_string(kMaxSplits) + "] and divide " + std::to_string(x[axis]) +
                   ", dimension " + std::to_string(axis) + " of x " + to_string(x));
    }
    sizes.assign(static_cast<std::size_t>(n), x[axis] == kUnknownDim ? kUnknownDim : x[axis] / n);
  } else {
    context.fail("needs the argument 'num_splits' or 'split_sizes'");
  }
  std::vector<Type> results;
  for (const std::int64_t size : sizes) {
    Shape dims = x;
    dims[axis] = size;
    results.push_back(Type::tensor(context.dtype("x"), std::move(dims)));
  }
  return results;
}

std::vector<Type> infer_tile(const OpContext& context) {
  Shape result = context.dims("x");
  if (context.constant("reps") == nullptr) {
    return one(context.dtype("x"), Shape(result.size(), kUnknownDim));
  }
  const std::vector<std::int64_t> reps = context.integers("reps");
  bool is_valid = reps.size() == result.size();
  for (const std::int64_t rep : reps) is_valid = is_valid && rep > 0;
  if (!is_valid) {
    context.fail("reps must have one positive entry per dimension of x " + to_string(result) +
                 ", got " + numbers(reps));
  }
  for (std::size_t i = 0; i < reps.size(); ++i) result[i] = multiply(result[i], reps[i]);
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> infer_pad(const OpContext& context) {
  const std::string mode = one_of(context, "mode", {"constant", "reflect", "replicate"});
  Shape result = context.dims("x");
  require_rank(context, "pad", 1, 1);
  if (context.constant("pad") == nullptr) {
    return one(context.dtype("x"), Shape(result.size(), kUnknownDim));
  }
  const std::vector<std::int64_t> pad = context.integers("pad");
  const std::size_t n = pad.size() / 2;
  if (pad.size() % 2 != 0 || n > result.size()) {
    context.fail("pad must have two entries for each of the last dimensions of x " +
                 to_string(result) + ", got " + numbers(pad));
  }
  for (std::size_t i = 0; i < n; ++i) {
    std::int64_t& dim = result[result.size() - n + i];
    for (const std::int64_t amount : {pad[2 * i], pad[2 * i + 1]}) {
      const std::int64_t limit = mode == "constant" || dim == kUnknownDim ? INT64_MAX
                                 : mode == "reflect"                      ? dim - 1
                                                                          : dim;
      if (amount < 0 || amount > limit) {
        context.fail("pad must lie in [0, " +
                     (limit == INT64_MAX ? std::string("...") : std::to_string(limit)) +
                     "] for dimension " + std::to_string(result.size() - n + i) + " of x " +
                     to_string(context.dims("x")) + " (mode \"" + mode + "\"), got " +
                     numbers(pad));
      }
    }
    if (dim != kUnknownDim) dim += pad[2 * i] + pad[2 * i + 1];
  }
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> infer_fill(const OpContext& context) {
  const DType dtype = context.has("value") ? context.dtype("value") : DType::kFp32;
  require_rank(context, "shape", 1, 1);
  if (context.constant("shape") == nullptr) {
    const std::int64_t rank = context.dims("shape")[0];
    if (rank == kUnknownDim) context.fail("shape must have a known length");
    return one(dtype, Shape(static_cast<std::size_t>(rank), kUnknownDim));
  }
  const std::vector<std::int64_t> shape = context.integers("shape");
  for (const std::int64_t dim : shape) {
    if (dim < 1) context.fail("shape must be positive, got " + numbers(shape));
  }
  return one(dtype, shape);
}

std::vector<Type> infer_fill_like(const OpContext& context) {
  return one(context.has("value") ? context.dtype("value") : DType::kFp32,
             context.dims("ref_tensor"));
}

std::vector<Type> infer_range_1d(const OpContext& context) {
  for (const char* input : {"start", "end", "step"}) {
    if (context.constant(input) == nullptr) return one(context.dtype("start"), {kUnknownDim});
  }
  const double step = context.real("step");
  const double count = step == 0 ? -1 : (context.real("end") - context.real("start")) / step;
  if (!(count > 0) || count > 0x1p31) {
    context.fail("takes no value from start " + std::to_string(context.real("start")) + " to end " +
                 std::to_string(context.real("end")) + " by step " + std::to_string(step));
  }
  return one(context.dtype("start"), {static_cast<std::int64_t>(std::ceil(count))});
}

std::vector<Type> infer_shape(const OpContext& context) {
  return one(DType::kInt32, {static_cast<std::int64_t>(context.dims("x").size())});
}

std::vector<Type> infer_along_axis(const OpContext& context) {
  context.axis("axis", context.dims("x").size());
  return like_x(context);
}

std::vector<Type> infer_argsort(const OpContext& context) {
  context.axis("axis", context.dims("x").size());
  return one(DType::kInt32, context.dims("x"));
}

std::vector<Type> infer_topk(const OpContext& context) {
  Shape result = context.dims("x");
  const auto axis = static_cast<std::size_t>(context.axis("axis", result.size()));
  std::int64_t k = context.integer("k");
  if (k == -1) k = result[axis];  // All of them.
  if ((k < 1 && k != kUnknownDim) || (result[axis] != kUnknownDim && k > result[axis])) {
    context.fail("k must be -1 or lie in [1, " + std::to_string(result[axis]) + "], dimension " +
                 std::to_string(axis) + " of x " + to_string(result) + ", got " +
                 std::to_string(k));
  }
  result[axis] = k;
  std::vector<Type> results = one(context.dtype("x"), result);
  if (context.boolean("return_indices")) {
    const std::string dtype =
        one_of(context, "output_indices_dtype", {"int32", "int16", "uint16", "int8", "uint8"});
    results.push_back(Type::tensor(*dtype_from_name(dtype), std::move(result)));
  }
  return results;
}

std::vector<Type> infer_flatten2d(const OpContext& context) {
  const Shape& x = context.dims("x");
  const auto rank = static_cast<std::int64_t>(x.size());
  std::int64_t axis = context.integer("axis");
  if (axis < 0) axis += rank;
  if (axis < 0 || axis > rank) {
    context.fail("axis must lie in [" + std::to_string(-rank) + ", " + std::to_string(rank) +
                 "], got " + std::to_string(context.integer("axis")));
  }
  Shape result = {1, 1};
  for (std::size_t i = 0; i < x.size(); ++i) {
    std::int64_t& dim = result[static_cast<std::int64_t>(i) < axis ? 0 : 1];
    dim = multiply(dim, x[i]);
  }
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> infer_one_hot(const OpContext& context) {
  Shape result = context.dims("indices");
  const std::int64_t axis = context.axis("axis", result.size() + 1);
  const bool is_known = context.constant("one_hot_vector_size") != nullptr;
  result.insert(result.begin() + axis,
                is_known ? context.integer("one_hot_vector_size") : kUnknownDim);
  const char* value = context.has("on_value") ? "on_value" : "off_value";
  return one(context.has(value) ? context.dtype(value) : DType::kInt32, std::move(result));
}

std::vector<Type> infer_non_zero(const OpContext& context) {
  return one(DType::kInt32, {kUnknownDim, static_cast<std::int64_t>(context.dims("x").size())});
}

}  // namespace

void add_tensor_operation_ops(OpTable& table) {
  const InputSpec movable = operand("x", kMovable);
  const InputSpec numbers = operand("x", kNumbers | kSmallInts);
  add(table, kFamily, "identity", "ios15", {movable}, like_x);
  InputSpec type_only = movable;
  type_only.is_type_only = true;
  add(table, kFamily, "shape", "ios15", {type_only}, infer_shape);
  add(table, kFamily, "concat", "ios15",
      {operand_tuple("values", kMovable, 'T'), scalar(constant("axis", kInt32Only)),
       optional_constant("interleave", kBoolOnly, false)},
      infer_concat);
  add(table, kFamily, "stack", "ios15",
      {operand_tuple("values", kMovable, 'T'), scalar(constant("axis", kInt32Only))}, infer_stack);
  add(table, kFamily, "split", "ios15",
      {movable, scalar(optional_constant("num_splits", kInt32Only)),
       vector(optional_constant("split_sizes", kInt32Only)), scalar(constant("axis", kInt32Only))},
      infer_split);
  table.back().returns_tuple = true;
  add(table, kFamily, "tile", "ios15", {movable, vector(operand("reps", kInt32Only))}, infer_tile);
  add(table, kFamily, "pad", "ios15",
      {operand("x", kFloats, 'T'), vector(operand("pad", kInt32Only)),
       optional_constant("mode", kStringOnly, "constant"),
       optional_constant("constant_val", kFloats, 0.0, 'T')},
      infer_pad);
  add(table, kFamily, "fill", "ios15",
      {vector(operand("shape", kInt32Only)), optional_constant("value", kNumbers | kBoolOnly, 0.0)},
      infer_fill);
  add(table, kFamily, "fill_like", "ios16",
      {type_only, optional_constant("value", kNumbers | kBoolOnly, 0.0)}, infer_fill_like);
  table.back().inputs[0].name = "ref_tensor";
  add(table, kFamily, "range_1d", "ios15",
      {scalar(operand("end", kNumbers, 'T')), scalar(operand("start", kNumbers, 'T')),
       scalar(operand("step", kNumbers, 'T'))},
      infer_range_1d);
  add(table, kFamily, "cumsum", "ios15",
      {operand("x", kNumbers), optional_constant("axis", kInt32Only, 0),
       optional_constant("exclusive", kBoolOnly, false),
       optional_constant("reverse", kBoolOnly, false)},
      infer_along_axis);
  add(table, kFamily, "argsort", "ios15",
      {operand("x", kNumbers), optional_constant("axis", kInt32Only, -1),
       optional_constant("ascending", kBoolOnly, false)},
      infer_argsort);
  add(table, kFamily, "topk", "ios15",
      {numbers, optional_constant("k", kExtents, 1), optional_constant("axis", kInt32Only, -1),
       optional_constant("ascending", kBoolOnly, false), optional_constant("sort", kBoolOnly, true),
       optional_constant("return_indices", kBoolOnly, true),
       optional_constant("output_indices_dtype", kStringOnly, "int32")},
      infer_topk);
  table.back().returns_tuple = true;
  add(table, kFamily, "flatten2d", "ios15", {movable, optional_constant("axis", kInt32Only, 1)},
      infer_flatten2d);
  add(table, kFamily, "band_part", "ios15",
      {movable, optional_constant("lower", kInt32Only, -1),
       optional_constant("upper", kInt32Only, -1)},
      like_x);
  add(table, kFamily, "one_hot", "ios15",
      {operand("indices", kInt32Only), operand("one_hot_vector_size", kInt32Only),
       optional_constant("axis", kInt32Only, -1),
       optional_constant("on_value", kNumbers | kBoolOnly, 1, 'T'),
       optional_constant("off_value", kNumbers | kBoolOnly, 0, 'T')},
      infer_one_hot);
  add(table, kFamily, "non_zero", "ios15", {movable}, infer_non_zero);
}

}  // namespace pyane::mil::ops
