#include "pyane/mil/ops/families.h"

#include <algorithm>

namespace pyane::mil::ops {
namespace {

int rank_of(DTypeSet dtypes, const Default& value) {
  if (dtypes == kStringOnly) return 0;
  if (std::holds_alternative<std::monostate>(value)) return -1;
  const bool is_vector = std::holds_alternative<Fill>(value) ||
                         std::holds_alternative<std::vector<std::int64_t>>(value);
  return is_vector ? 1 : 0;
}

}  // namespace

OpRecord& add(OpTable& table, std::string family, std::string name, std::string opset,
              std::vector<InputSpec> inputs, InferTypes infer) {
  table.push_back({.name = std::move(name),
                   .opset = std::move(opset),
                   .family = std::move(family),
                   .inputs = std::move(inputs),
                   .infer = infer});
  return table.back();
}

InputSpec optional_constant(std::string name, DTypeSet dtypes, Default value, char group) {
  const int rank = rank_of(dtypes, value);
  return {.name = std::move(name),
          .dtypes = dtypes,
          .group = group,
          .is_required = false,
          .is_constant = true,
          .default_value = std::move(value),
          .rank = rank};
}

InputSpec constant(std::string name, DTypeSet dtypes, char group) {
  InputSpec spec = optional_constant(std::move(name), dtypes, {}, group);
  spec.is_required = true;
  return spec;
}

std::vector<Type> like_x(const OpContext& context) {
  return one(context.dtype("x"), context.dims("x"));
}

std::int64_t multiply(std::int64_t dim, std::int64_t factor) {
  if (dim == kUnknownDim || factor == kUnknownDim) return kUnknownDim;
  std::int64_t product = 0;
  return __builtin_mul_overflow(dim, factor, &product) ? INT64_MAX : product;
}

std::string numbers(const std::vector<std::int64_t>& values) {
  std::string text;
  for (const std::int64_t value : values) {
    text += (text.empty() ? "" : ", ") + std::to_string(value);
  }
  return "[" + text + "]";
}

std::string describe(const OpContext& context, std::string_view a, std::string_view b) {
  return std::string(a) + " " + to_string(context.dims(a)) + " and " + std::string(b) + " " +
         to_string(context.dims(b));
}

void require_rank(const OpContext& context, std::string_view input, std::size_t low,
                  std::size_t high) {
  const Shape& dims = context.dims(input);
  if (dims.size() >= low && dims.size() <= high) return;
  const std::string ranks =
      low == high ? std::to_string(low) : std::to_string(low) + " to " + std::to_string(high);
  context.fail(std::string(input) + " must have rank " + ranks + ", got " + to_string(dims));
}

std::string one_of(const OpContext& context, std::string_view input,
                   std::initializer_list<std::string_view> allowed) {
  std::string value = context.string(input);
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
  std::string list;
  for (const std::string_view choice : allowed) {
    if (!list.empty()) list += ", ";
    list += '"' + std::string(choice) + '"';
  }
  context.fail(std::string(input) + " must be one of " + list + ", got \"" + value + "\"");
}

std::vector<std::int64_t> normalized_axes(const OpContext& context, std::string_view input,
                                          std::size_t rank) {
  std::vector<std::int64_t> axes = context.integers(input);
  const auto n = static_cast<std::int64_t>(rank);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::int64_t axis = axes[i];
    if (axis < -n || axis >= n) {
      context.fail(std::string(input) + " must lie in [" + std::to_string(-n) + ", " +
                   std::to_string(n) + "), got " + std::to_string(axis));
    }
    if (axis < 0) axes[i] += n;
    if (std::find(axes.begin(), axes.begin() + static_cast<std::ptrdiff_t>(i), axes[i]) !=
        axes.begin() + static_cast<std::ptrdiff_t>(i)) {
      context.fail(std::string(input) + " names axis " + std::to_string(axis) + " twice");
    }
  }
  return axes;
}

}  // namespace pyane::mil::ops
