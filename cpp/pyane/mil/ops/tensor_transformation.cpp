#include <algorithm>

#include "pyane/mil/limits.h"
#include "pyane/mil/ops/families.h"
#include "pyane/mil/ops/windows.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "tensor_transformation";

// A vector of extents that may be known only at run time: its length, then all dimensions unknown.
Shape unknown_extents(const OpContext& context, const char* input) {
  require_rank(context, input, 1, 1);
  const std::int64_t rank = context.dims(input)[0];
  if (rank == kUnknownDim) {
    context.fail(std::string(input) + " must have a known length, got " +
                 to_string(context.type(input)));
  }
  return Shape(static_cast<std::size_t>(rank), kUnknownDim);
}

std::vector<Type> infer_expand_dims(const OpContext& context) {
  const Shape& x = context.dims("x");
  const std::size_t rank = x.size() + context.integers("axes").size();
  if (rank > kMaxRank) {
    context.fail("the result would have " + std::to_string(rank) + " dimensions, " +
                 std::to_string(kMaxRank) + " is the most");
  }
  const std::vector<std::int64_t> axes = normalized_axes(context, "axes", rank);
  Shape result;
  std::size_t next = 0;
  for (std::size_t i = 0; i < rank; ++i) {
    const bool is_new =
        std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(i)) != axes.end();
    result.push_back(is_new ? 1 : x[next++]);
  }
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> infer_squeeze(const OpContext& context) {
  const Shape& x = context.dims("x");
  Shape result;
  if (!context.has("axes")) {
    for (const std::int64_t dim : x) {
      if (dim != 1) result.push_back(dim);
    }
    return one(context.dtype("x"), std::move(result));
  }
  // As in PyTorch, a dimension of another size stays.
  const std::vector<std::int64_t> axes = normalized_axes(context, "axes", x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool is_named =
        std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(i)) != axes.end();
    if (!is_named || !may_equal(x[i], 1)) result.push_back(x[i]);
  }
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> infer_reshape(const OpContext& context) {
  const Shape& x = context.dims("x");
  if (context.constant("shape") == nullptr) {
    return one(context.dtype("x"), unknown_extents(context, "shape"));
  }
  const std::vector<std::int64_t> shape = context.integers("shape");
  Shape result = shape;
  // A 0 takes the dimension of x at the same place from the right, 1 beyond x (iOS17's rule, which
  // agrees with iOS15's where that one applies).
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (result[i] < -1) context.fail("shape must not be below -1, got " + numbers(shape));
    if (result[i] != 0) continue;
    const std::size_t from_right = result.size() - i;
    result[i] = from_right <= x.size() ? x[x.size() - from_right] : 1;
    if (result[i] == kUnknownDim) {
      // Unknown, and not to be mistaken for the one dimension to be worked out.
      return one(context.dtype("x"), [&] {
        for (std::size_t j = i + 1; j < result.size(); ++j) {
          const std::size_t right = result.size() - j;
          if (result[j] == 0) result[j] = right <= x.size() ? x[x.size() - right] : 1;
        }
        return result;
      }());
    }
  }
  if (std::count(result.begin(), result.end(), -1) > 1) {
    context.fail("shape may have one -1, got " + numbers(shape));
  }
  const std::optional<std::int64_t> elements = element_count(x);
  if (!elements) return one(context.dtype("x"), std::move(result));
  const auto open = std::find(result.begin(), result.end(), -1);
  if (open != result.end()) {
    *open = 1;
    const std::int64_t rest = element_count(result).value_or(0);
    if (rest == 0 || *elements % rest != 0) {
      context.fail("x " + to_string(x) + " with " + std::to_string(*elements) +
                   " elements does not fit shape " + numbers(shape));
    }
    *open = *elements / rest;
  } else if (element_count(result) != elements) {
    context.fail("x " + to_string(x) + " has " + std::to_string(*elements) + " elements, shape " +
                 numbers(shape) + " has " + std::to_string(element_count(result).value_or(0)));
  }
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> infer_transpose(const OpContext& context) {
  const Shape& x = context.dims("x");
  const std::vector<std::int64_t> perm = normalized_axes(context, "perm", x.size());
  if (perm.size() != x.size()) {
    context.fail("perm must have one entry per dimension of x " + to_string(x) + ", got " +
                 numbers(context.integers("perm")));
  }
  Shape result;
  for (const std::int64_t axis : perm) result.push_back(x[static_cast<std::size_t>(axis)]);
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> sliced(const OpContext& context, const std::vector<SliceRange>& ranges) {
  Shape result;
  for (const SliceRange& range : ranges) {
    if (!range.is_squeezed) result.push_back(range.count);
  }
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> infer_slice_by_index(const OpContext& context) {
  return sliced(context, resolve_slice_by_index(context));
}

std::vector<Type> infer_slice_by_size(const OpContext& context) {
  return sliced(context, resolve_slice_by_size(context));
}

std::vector<Type> infer_slice_update(const OpContext& context) {
  const Shape expected = sliced(context, resolve_slice_by_index(context))[0].dims;
  const Shape& update = context.dims("update");
  bool is_match = expected.size() == update.size();
  for (std::size_t i = 0; is_match && i < expected.size(); ++i) {
    is_match = may_equal(expected[i], update[i]);
  }
  if (!is_match) {
    context.fail("update must have the shape of the slice, " + to_string(expected) + ", got " +
                 to_string(update));
  }
  return like_x(context);
}

std::vector<Type> infer_reverse(const OpContext& context) {
  if (context.has("axes")) normalized_axes(context, "axes", context.dims("x").size());
  return like_x(context);
}

std::vector<Type> infer_reverse_sequence(const OpContext& context) {
  const Shape& x = context.dims("x");
  context.axis("seq_axis", x.size());
  const std::int64_t batch = x[static_cast<std::size_t>(context.axis("batch_axis", x.size()))];
  require_rank(context, "lengths", 1, 1);
  if (!may_equal(context.dims("lengths")[0], batch)) {
    context.fail("lengths must have one entry per entry of batch_axis (" + std::to_string(batch) +
                 "), got " + describe(context, "lengths", "x"));
  }
  return like_x(context);
}

// The dimensions begins[i] to ends[i] (to the last where end_masks[i]) of each reference, one after
// the other.
std::vector<Type> infer_reshape_like(const OpContext& context) {
  const auto& references = context.types("ref_tensors");
  const std::vector<std::int64_t> begins = context.integers_of("begins");
  const std::vector<std::int64_t> ends = context.integers_of("ends");
  const std::vector<std::int64_t> masks = context.integers_of("end_masks");
  if (begins.size() != references.size() || ends.size() != references.size() ||
      masks.size() != references.size()) {
    context.fail("begins, ends and end_masks must have one entry per reference tensor (" +
                 std::to_string(references.size()) + "), got " + std::to_string(begins.size()) +
                 ", " + std::to_string(ends.size()) + " and " + std::to_string(masks.size()));
  }
  Shape result;
  for (std::size_t i = 0; i < references.size(); ++i) {
    const Shape& dims = references[i]->dims;
    const auto rank = static_cast<std::int64_t>(dims.size());
    const auto bound = [&](std::int64_t given) {
      return std::clamp<std::int64_t>(given < 0 ? given + rank : given, 0, rank);
    };
    const std::int64_t end = masks[i] != 0 ? rank : bound(ends[i]);
    for (std::int64_t k = bound(begins[i]); k < end; ++k) {
      result.push_back(dims[static_cast<std::size_t>(k)]);
    }
  }
  const std::optional<std::int64_t> have = element_count(context.dims("x"));
  const std::optional<std::int64_t> want = element_count(result);
  if (have && want && have != want) {
    context.fail("x " + to_string(context.dims("x")) + " has " + std::to_string(*have) +
                 " elements, the shape taken from ref_tensors " + to_string(result) + " has " +
                 std::to_string(*want));
  }
  return one(context.dtype("x"), std::move(result));
}

std::vector<Type> infer_sliding_windows(const OpContext& context) {
  Shape result = context.dims("x");
  const auto axis = static_cast<std::size_t>(context.axis("axis", result.size()));
  const std::int64_t size = context.integer("size");
  const std::int64_t stride = context.integer("stride");
  if (size < 1 || stride < 1 || (result[axis] != kUnknownDim && size > result[axis])) {
    context.fail("windows of size " + std::to_string(size) + " and stride " +
                 std::to_string(stride) + " do not fit dimension " + std::to_string(axis) +
                 " of x " + to_string(result));
  }
  if (result[axis] != kUnknownDim) result[axis] = (result[axis] - size) / stride + 1;
  result.insert(result.begin() + static_cast<std::ptrdiff_t>(axis) + 1, size);
  return one(context.dtype("x"), std::move(result));
}

}  // namespace

void add_tensor_transformation_ops(OpTable& table) {
  const InputSpec x = operand("x", kMovable);
  add(table, kFamily, "expand_dims", "ios15", {x, vector(constant("axes", kInt32Only))},
      infer_expand_dims);
  add(table, kFamily, "squeeze", "ios15", {x, vector(optional_constant("axes", kInt32Only))},
      infer_squeeze);
  add(table, kFamily, "reshape", "ios15", {x, vector(operand("shape", kExtents))}, infer_reshape);
  add(table, kFamily, "reshape_like", "ios16",
      {x, operand_tuple("ref_tensors", kMovable), constant_tuple("begins", kInt32Only),
       constant_tuple("ends", kInt32Only), constant_tuple("end_masks", kBoolOnly)},
      infer_reshape_like);
  add(table, kFamily, "transpose", "ios15", {x, vector(constant("perm", kInt32Only))},
      infer_transpose);
  add(table, kFamily, "slice_by_size", "ios15",
      {x, vector(operand("begin", kExtents)), vector(operand("size", kExtents))},
      infer_slice_by_size);
  add(table, kFamily, "slice_by_index", "ios15",
      {x, vector(operand("begin", kExtents)), vector(operand("end", kExtents)),
       vector(optional_constant("stride", kExtents)),
       vector(optional_constant("begin_mask", kBoolOnly)),
       vector(optional_constant("end_mask", kBoolOnly)),
       vector(optional_constant("squeeze_mask", kBoolOnly))},
      infer_slice_by_index);
  add(table, kFamily, "slice_update", "ios18",
      {operand("x", kMovable, 'T'), operand("update", kMovable, 'T'),
       vector(operand("begin", kExtents)), vector(operand("end", kExtents)),
       vector(optional_constant("stride", kExtents)),
       vector(optional_constant("begin_mask", kBoolOnly)),
       vector(optional_constant("end_mask", kBoolOnly)),
       vector(optional_constant("squeeze_mask", kBoolOnly))},
      infer_slice_update);
  add(table, kFamily, "reverse", "ios15", {x, vector(optional_constant("axes", kInt32Only))},
      infer_reverse);
  add(table, kFamily, "reverse_sequence", "ios15",
      {x, operand("lengths", kExtents), optional_constant("seq_axis", kInt32Only, 0),
       optional_constant("batch_axis", kInt32Only, 0)},
      infer_reverse_sequence);
  add(table, kFamily, "sliding_windows", "ios15",
      {x, scalar(constant("axis", kInt32Only)), scalar(constant("size", kInt32Only)),
       optional_constant("stride", kInt32Only, 1)},
      infer_sliding_windows);
}

}  // namespace pyane::mil::ops
