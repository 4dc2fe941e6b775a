#include <bit>

#include "pyane/mil/limits.h"
#include "pyane/mil/ops/families.h"

// Compressed weights. Each operation has two forms: iOS16 takes its inputs as attributes and packs
// indices and masks into uint8 vectors with a `shape`; iOS18 takes operands of sub-byte types.

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "constexpr_ops";

constexpr DTypeSet kInt8s = dtype_set({DType::kInt8, DType::kUint8});
constexpr DTypeSet kNibbles = dtype_set({DType::kInt4, DType::kUint4});
constexpr DTypeSet kLutIndices = dtype_set(
    {DType::kUint1, DType::kUint2, DType::kUint3, DType::kUint4, DType::kUint6, DType::kUint8});
constexpr DTypeSet kUint1Only = dtype_set({DType::kUint1});
constexpr DTypeSet kShape = dtype_set({DType::kUint32, DType::kInt32});

std::vector<Type> infer_affine_dequantize(const OpContext& context) {
  const Shape& data = context.dims("quantized_data");
  const auto axis = static_cast<std::size_t>(context.axis("axis", data.size()));
  for (const char* input : {"scale", "zero_point"}) {
    const Shape& dims = context.dims(input);
    if (dims.size() > 1 || (dims.size() == 1 && !may_equal(dims[0], data[axis]))) {
      context.fail(std::string(input) + " must be a scalar or have " + std::to_string(data[axis]) +
                   " entries (quantized_data along axis " + std::to_string(axis) + "), got " +
                   to_string(dims));
    }
  }
  return one(context.dtype("scale"), data);
}

Shape shape_argument(const OpContext& context) {
  Shape shape = context.integers("shape");
  const std::int64_t count = element_count(shape).value_or(0);
  if (count < 1 || count > kMaxElements) {
    context.fail("shape must be positive and have " + std::to_string(kMaxElements) +
                 " elements at most, got " + numbers(shape));
  }
  return shape;
}

std::vector<Type> infer_packed_lut(const OpContext& context) {
  require_rank(context, "indices", 1, 1);
  require_rank(context, "lut", 1, 1);
  const Shape shape = shape_argument(context);
  const auto palettes = static_cast<std::uint64_t>(context.dims("lut")[0]);
  const auto bits = static_cast<int>(std::bit_width(palettes)) - 1;
  if (!std::has_single_bit(palettes) ||
      (bits != 1 && bits != 2 && bits != 4 && bits != 6 && bits != 8)) {
    context.fail("lut must have 2, 4, 16, 64 or 256 entries, got " +
                 to_string(context.dims("lut")));
  }
  const std::int64_t n_bytes = (*element_count(shape) * bits + 7) / 8;
  if (context.dims("indices")[0] != n_bytes) {
    context.fail("indices must have " + std::to_string(n_bytes) + " bytes (" +
                 std::to_string(bits) + " bits for each element of " + numbers(shape) + "), got " +
                 to_string(context.dims("indices")));
  }
  return one(context.dtype("lut"), shape);
}

// lut [*groups, palettes, vector]: each dimension of indices is a multiple of its number of groups.
Type unpacked_lut(const OpContext& context, const char* input, Shape shape) {
  const Shape& lut = context.dims("lut");
  const int bits = dtype_info(context.dtype(input)).bits;
  bool is_valid = lut.size() == shape.size() + 2;
  for (std::size_t i = 0; is_valid && i < shape.size(); ++i) {
    is_valid = lut[i] > 0 && shape[i] % lut[i] == 0;
  }
  if (!is_valid) {
    context.fail("lut must have shape [*groups, palettes, vector] with as many groups as " +
                 numbers(shape) + " has dimensions, dividing them, got " + to_string(lut));
  }
  if (lut[lut.size() - 2] != std::int64_t{1} << bits) {
    context.fail("lut must have " + std::to_string(std::int64_t{1} << bits) + " palettes for " +
                 std::string(dtype_name(context.dtype(input))) + " " + input + ", got " +
                 to_string(lut));
  }
  if (lut.back() > 1) {
    if (!context.has("vector_axis")) {
      context.fail("a lut of vectors needs the argument 'vector_axis'");
    }
    const auto axis = static_cast<std::size_t>(context.axis("vector_axis", shape.size()));
    shape[axis] = multiply(shape[axis], lut.back());
  }
  return Type::tensor(lut.empty() ? DType::kFp16 : context.dtype("lut"), std::move(shape));
}

std::vector<Type> infer_lut_to_dense(const OpContext& context) {
  if (context.has("shape")) return infer_packed_lut(context);
  return {unpacked_lut(context, "indices", context.dims("indices"))};
}

std::vector<Type> infer_lut_to_sparse(const OpContext& context) {
  require_rank(context, "indices_nonzero_data", 1, 1);
  const Type dense = unpacked_lut(context, "indices_nonzero_data", context.dims("indices_mask"));
  const std::int64_t vector = context.dims("lut").back();
  return {Type::tensor(DType::kUint1, dense.dims),
          Type::tensor(dense.dtype, {multiply(context.dims("indices_nonzero_data")[0], vector)})};
}

std::vector<Type> infer_sparse_to_dense(const OpContext& context) {
  require_rank(context, "nonzero_data", 1, 1);
  const DType dtype = context.dtype("nonzero_data");
  if (!context.has("shape")) {
    if (context.dtype("mask") != DType::kUint1) {
      context.fail("mask must be uint1 unless shape is given, got " +
                   to_string(context.type("mask")));
    }
    const std::optional<std::int64_t> elements = element_count(context.dims("mask"));
    if (elements && context.dims("nonzero_data")[0] > *elements) {
      context.fail("nonzero_data " + to_string(context.dims("nonzero_data")) +
                   " has more elements than mask " + to_string(context.dims("mask")));
    }
    return one(dtype, context.dims("mask"));
  }
  const Shape shape = shape_argument(context);
  const std::int64_t n_bytes = (*element_count(shape) + 7) / 8;
  if (context.dims("mask") != Shape{n_bytes}) {
    context.fail("mask must have " + std::to_string(n_bytes) +
                 " bytes (one bit for each element of " + numbers(shape) + "), got " +
                 to_string(context.dims("mask")));
  }
  return one(dtype, shape);
}

// scale has the rank of data and divides it block by block.
void check_blocks(const OpContext& context, const Shape& data) {
  for (const char* input : {"scale", "offset"}) {
    if (!context.has(input)) continue;
    const Shape& dims = context.dims(input);
    bool is_valid = dims.size() == data.size();
    for (std::size_t i = 0; is_valid && i < dims.size(); ++i) {
      is_valid = dims[i] > 0 && (data[i] == kUnknownDim || data[i] % dims[i] == 0);
    }
    if (!is_valid) {
      context.fail(std::string(input) + " must divide data " + to_string(data) +
                   " in every dimension, got " + to_string(dims));
    }
  }
}

std::vector<Type> infer_blockwise_shift_scale(const OpContext& context) {
  check_blocks(context, context.dims("data"));
  return one(context.dtype("scale"), context.dims("data"));
}

std::vector<Type> infer_sparse_blockwise_shift_scale(const OpContext& context) {
  check_blocks(context, context.dims("data_mask"));
  return {Type::tensor(DType::kUint1, context.dims("data_mask")),
          Type::tensor(context.dtype("scale"), context.dims("nonzero_data"))};
}

std::vector<Type> infer_constexpr_cast(const OpContext& context) {
  one_of(context, "output_dtype", {"fp32"});
  return one(DType::kFp32, context.dims("source_val"));
}

void add(OpTable& table, std::string name, std::string opset, std::vector<InputSpec> inputs,
         InferTypes infer) {
  table.push_back({.name = std::move(name),
                   .opset = opset,
                   .family = kFamily,
                   .inputs = std::move(inputs),
                   .infer = infer,
                   .inputs_are_attributes = opset == "ios16",
                   .is_constexpr = true});
}

}  // namespace

void add_constexpr_ops(OpTable& table) {
  add(table, "constexpr_affine_dequantize", "ios16",
      {constant("quantized_data", kInt8s),
       constant("zero_point", kInt8s | dtype_set({DType::kFp32})), constant("scale", kFloats),
       scalar(constant("axis", kInt32Only))},
      infer_affine_dequantize);
  add(table, "constexpr_cast", "ios16",
      {constant("source_val", dtype_set({DType::kFp16})), constant("output_dtype", kStringOnly)},
      infer_constexpr_cast);
  add(table, "constexpr_lut_to_dense", "ios16",
      {constant("indices", kLutIndices), constant("lut", kFloats | kInt8s),
       vector(optional_constant("shape", kShape)),
       scalar(optional_constant("vector_axis", kInt32Only))},
      infer_lut_to_dense);
  add(table, "constexpr_sparse_to_dense", "ios16",
      {constant("nonzero_data", kFloats | kInt8s | kNibbles),
       constant("mask", kUint1Only | dtype_set({DType::kUint8})),
       vector(optional_constant("shape", kShape))},
      infer_sparse_to_dense);
  add(table, "constexpr_blockwise_shift_scale", "ios18",
      {constant("data", kFloats | kInt8s | kNibbles), constant("scale", kFloats),
       optional_constant("offset", kFloats | kInt8s | kNibbles)},
      infer_blockwise_shift_scale);
  add(table, "constexpr_lut_to_sparse", "ios18",
      {constant("indices_mask", kUint1Only), constant("indices_nonzero_data", kLutIndices),
       constant("lut", kFloats | kInt8s), scalar(optional_constant("vector_axis", kInt32Only))},
      infer_lut_to_sparse);
  table.back().returns_tuple = true;
  add(table, "constexpr_sparse_blockwise_shift_scale", "ios18",
      {constant("data_mask", kUint1Only), constant("nonzero_data", kFloats | kInt8s | kNibbles),
       constant("scale", kFloats), optional_constant("offset", kFloats | kInt8s | kNibbles)},
      infer_sparse_blockwise_shift_scale);
  table.back().returns_tuple = true;
}

}  // namespace pyane::mil::ops
