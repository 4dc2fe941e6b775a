#include "pyane/mil/ops/families.h"

// Lists of tensors of one shape. Their length is that of make_list: dynamic_length is taken, but
// lists do not grow.

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "lists";

const Type& list_type(const OpContext& context) { return context.type("ls"); }
const Type& element_type(const OpContext& context) { return list_type(context).elements.at(0); }

void require_fits(const OpContext& context, const Type& wanted) {
  const Type& value = context.type("value");
  bool fits = value.dtype == wanted.dtype && value.dims.size() == wanted.dims.size();
  for (std::size_t i = 0; fits && i < value.dims.size(); ++i) {
    fits = may_equal(value.dims[i], wanted.dims[i]);
  }
  if (!fits) {
    context.fail("value must be " + to_string(wanted) + " for " + to_string(list_type(context)) +
                 ", got " + to_string(value));
  }
}

/// `n` elements of the list as one tensor.
Type stacked(const OpContext& context, std::int64_t n) {
  Type type = element_type(context);
  type.short_form = false;
  type.dims.insert(type.dims.begin(), n);
  return type;
}

std::vector<Type> infer_make_list(const OpContext& context) {
  const DType dtype = *dtype_from_name(one_of(
      context, "dtype", {"fp16", "fp32", "int8", "uint8", "int16", "uint16", "int32", "bool"}));
  Type list;
  list.kind = Type::Kind::kList;
  list.elements = {Type::tensor(dtype, context.integers_of("elem_shape"))};
  for (const std::int64_t dim : list.elements[0].dims) {
    if (dim < 1) {
      context.fail("elem_shape must be positive, got " + numbers(list.elements[0].dims));
    }
  }
  const bool is_known = !context.has("init_length") || context.constant("init_length") != nullptr;
  if (is_known) list.length = context.integer("init_length");
  if (is_known && list.length < 1) {
    context.fail("init_length must be at least 1, got " + std::to_string(list.length));
  }
  return {list};
}

std::vector<Type> infer_length(const OpContext&) { return one(DType::kInt32, {}); }
std::vector<Type> infer_read(const OpContext& context) { return {element_type(context)}; }
std::vector<Type> infer_gather(const OpContext& context) {
  require_rank(context, "indices", 1, 1);
  return {stacked(context, context.dims("indices")[0])};
}
std::vector<Type> infer_write(const OpContext& context) {
  require_fits(context, element_type(context));
  return {list_type(context)};
}
std::vector<Type> infer_scatter(const OpContext& context) {
  require_rank(context, "indices", 1, 1);
  require_fits(context, stacked(context, context.dims("indices")[0]));
  return {list_type(context)};
}

void add(OpTable& table, std::string name, std::vector<InputSpec> inputs, InferTypes infer) {
  table.push_back({.name = std::move(name),
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = std::move(inputs),
                   .infer = infer});
}

}  // namespace

void add_list_ops(OpTable& table) {
  InputSpec list = operand("ls", ~DTypeSet{0});
  list.kind = Type::Kind::kList;
  InputSpec list_type_only = list;
  list_type_only.is_type_only = true;
  const InputSpec index = scalar(operand("index", kInt32Only));
  const InputSpec indices = operand("indices", kInt32Only);
  const InputSpec value = operand("value", kMovable);
  InputSpec length = optional_constant("init_length", kInt32Only, 1);
  length.is_constant = false;
  add(table, "make_list",
      {length, optional_constant("dynamic_length", kBoolOnly, true),
       operand_tuple("elem_shape", kInt32Only), optional_constant("dtype", kStringOnly, "fp32")},
      infer_make_list);
  add(table, "list_length", {list_type_only}, infer_length);
  add(table, "list_read", {list, index}, infer_read);
  add(table, "list_write", {list, index, value}, infer_write);
  add(table, "list_gather", {list, indices}, infer_gather);
  add(table, "list_scatter", {list, indices, value}, infer_scatter);
}

}  // namespace pyane::mil::ops
