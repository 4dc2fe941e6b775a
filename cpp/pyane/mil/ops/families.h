#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pyane/mil/op_set.h"

// Vocabulary of the family files: each has one function that appends its records, called once from
// op_set.cpp. Inputs, defaults and element types follow coremltools' operation definitions
// (converters/mil/mil/ops/defs, iOS15 to iOS18); where a later opset widens an operation the record
// holds the wide form.

namespace pyane::mil::ops {

using OpTable = std::vector<OpRecord>;

/// Appends a record, whose other fields can be set on the result.
OpRecord& add(OpTable& table, std::string family, std::string name, std::string opset,
              std::vector<InputSpec> inputs, InferTypes infer);

void add_activation_ops(OpTable& table);
void add_constexpr_ops(OpTable& table);
void add_control_ops(OpTable& table);
void add_conv_ops(OpTable& table);
void add_elementwise_binary_ops(OpTable& table);
void add_elementwise_unary_ops(OpTable& table);
void add_image_resizing_ops(OpTable& table);
void add_linear_ops(OpTable& table);
void add_list_ops(OpTable& table);
void add_normalization_ops(OpTable& table);
void add_non_maximum_suppression_ops(OpTable& table);
void add_pool_ops(OpTable& table);
void add_random_ops(OpTable& table);
void add_quantization_ops(OpTable& table);
void add_recurrent_ops(OpTable& table);
void add_reduction_ops(OpTable& table);
void add_scatter_gather_ops(OpTable& table);
void add_space_depth_ops(OpTable& table);
void add_state_ops(OpTable& table);
void add_tensor_operation_ops(OpTable& table);
void add_tensor_transformation_ops(OpTable& table);
void add_transformers_ops(OpTable& table);

// Element types as the definitions name them.
inline constexpr DTypeSet kFloats = dtype_set({DType::kFp16, DType::kFp32});
inline constexpr DTypeSet kInt32Only = dtype_set({DType::kInt32});
inline constexpr DTypeSet kNumbers = kFloats | kInt32Only;
inline constexpr DTypeSet kBoolOnly = dtype_set({DType::kBool});
inline constexpr DTypeSet kStringOnly = dtype_set({DType::kString});
inline constexpr DTypeSet kSmallInts =
    dtype_set({DType::kInt8, DType::kUint8, DType::kInt16, DType::kUint16});
/// What operations that only move elements take.
inline constexpr DTypeSet kMovable = kNumbers | kBoolOnly | kSmallInts;
/// Shapes, begins, sizes computed at run time.
inline constexpr DTypeSet kExtents = dtype_set({DType::kInt8, DType::kInt16, DType::kInt32});
/// Of gather and scatter.
inline constexpr DTypeSet kIndices = kSmallInts | kInt32Only;

// The kinds of input.
inline InputSpec operand(std::string name, DTypeSet dtypes, char group = 0) {
  return {.name = std::move(name), .dtypes = dtypes, .group = group};
}
inline InputSpec optional_operand(std::string name, DTypeSet dtypes, char group = 0) {
  return {.name = std::move(name), .dtypes = dtypes, .group = group, .is_required = false};
}
inline InputSpec operand_tuple(std::string name, DTypeSet dtypes, char group = 0) {
  return {.name = std::move(name), .dtypes = dtypes, .group = group, .is_variadic = true};
}
inline InputSpec constant_tuple(std::string name, DTypeSet dtypes) {
  return {.name = std::move(name),
          .dtypes = dtypes,
          .is_constant = true,
          .is_variadic = true,
          .rank = 0};
}
/// The rank follows from the default where there is one, and strings are scalars.
InputSpec optional_constant(std::string name, DTypeSet dtypes, Default value = {}, char group = 0);
InputSpec constant(std::string name, DTypeSet dtypes, char group = 0);
inline InputSpec scalar(InputSpec spec) {
  spec.rank = 0;
  return spec;
}
inline InputSpec vector(InputSpec spec) {
  spec.rank = 1;
  return spec;
}

// Result types shared by several families.
std::vector<Type> like_x(const OpContext& context);

inline std::vector<Type> one(DType dtype, Shape dims) {
  return {Type::tensor(dtype, std::move(dims))};
}

/// Product with unknown dimensions kept unknown; INT64_MAX, which the verifier refuses, for one
/// that does not fit.
std::int64_t multiply(std::int64_t dim, std::int64_t factor);

/// Whether two dimensions may be the same.
inline bool may_equal(std::int64_t a, std::int64_t b) {
  return a == b || a == kUnknownDim || b == kUnknownDim;
}
/// Of two dimensions that may be the same, the known one.
inline std::int64_t known_of(std::int64_t a, std::int64_t b) { return a == kUnknownDim ? b : a; }

/// "[1, -1]", for messages: the value of an argument, where -1 is a number and not an unknown
/// dimension.
std::string numbers(const std::vector<std::int64_t>& values);

/// "x [1, 2] and y [3]", for messages.
std::string describe(const OpContext& context, std::string_view a, std::string_view b);

void require_rank(const OpContext& context, std::string_view input, std::size_t low,
                  std::size_t high);

/// Value of `input`, which must be one of `allowed`.
std::string one_of(const OpContext& context, std::string_view input,
                   std::initializer_list<std::string_view> allowed);

/// `axes` normalised to [0, rank), in the order given, without duplicates.
std::vector<std::int64_t> normalized_axes(const OpContext& context, std::string_view input,
                                          std::size_t rank);

}  // namespace pyane::mil::ops
