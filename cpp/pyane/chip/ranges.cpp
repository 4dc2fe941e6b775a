#include "pyane/chip/ranges.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "pyane/base/half.h"

namespace pyane::chip {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Interval products; 0 * infinity is 0, as an unbounded finite factor cannot change it.
double times(double a, double b) { return a == 0 || b == 0 ? 0 : a * b; }

Range multiply(Range a, Range b) {
  const double c[] = {times(a.low, b.low), times(a.low, b.high), times(a.high, b.low),
                      times(a.high, b.high)};
  return {*std::min_element(c, c + 4), *std::max_element(c, c + 4)};
}

// Sums of infinities of both signs do not occur: low ends are never +inf, high ends never -inf.
Range add(Range a, Range b) { return {a.low + b.low, a.high + b.high}; }
Range negate(Range a) { return {-a.high, -a.low}; }
Range join(Range a, Range b) { return {std::min(a.low, b.low), std::max(a.high, b.high)}; }

Range square(Range a) {
  const double high = times(a.magnitude(), a.magnitude());
  const double nearest = a.low > 0 ? a.low : a.high < 0 ? -a.high : 0;
  return {times(nearest, nearest), high};
}

struct Bounds {
  std::string_view op;
  Range range;
};
// Results lie here whatever the operand. gelu and silu: their minima, rounded outwards.
constexpr std::array<Bounds, 18> kBounds = {{
    {"acos", {0, 3.15}},
    {"asin", {-1.6, 1.6}},
    {"atan", {-1.6, 1.6}},
    {"cos", {-1, 1}},
    {"erf", {-1, 1}},
    {"exp", {0, kInfinity}},
    {"exp2", {0, kInfinity}},
    {"reduce_l1_norm", {0, kInfinity}},
    {"reduce_l2_norm", {0, kInfinity}},
    {"relu6", {0, 6}},
    {"sigmoid", {0, 1}},
    {"sigmoid_hard", {0, 1}},
    {"sign", {-1, 1}},
    {"sin", {-1, 1}},
    {"softmax", {0, 1}},
    {"softplus", {0, kInfinity}},
    {"softsign", {-1, 1}},
    {"tanh", {-1, 1}},
}};

// Elements of the result are elements of, or lie between elements of, the operand `x`.
bool stays_within(std::string_view op) {
  static constexpr std::array<std::string_view, 10> kOps = {
      "avg_pool",          "gather",
      "gather_along_axis", "gather_nd",
      "max_pool",          "reduce_max",
      "reduce_min",        "reduce_mean",
      "sliding_windows",   "upsample_nearest_neighbor"};
  return only_moves_elements(op) || std::find(kOps.begin(), kOps.end(), op) != kOps.end();
}

struct Counts {
  double low = kInfinity;
  double high = -kInfinity;
  ConstantSummary summary;
  void look_at(double value) {
    if (!std::isfinite(value)) {
      ++summary.n_not_finite;
      return;
    }
    const double magnitude = std::fabs(value);
    if (magnitude == 0 && std::signbit(value)) ++summary.n_negative_zero;
    if (magnitude >= 65520.0) ++summary.n_beyond_fp16;
    if (magnitude != 0 && magnitude < 6.103515625e-05) ++summary.n_subnormal_fp16;
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

ConstantSummary summarize_fp16(const std::byte* data, std::size_t n) {
  // Magnitudes of fp16 order like their bits; no conversion needed but for the ends.
  std::uint16_t largest_positive = 0, largest_negative = 0, smallest_positive = 0x7FFF,
                smallest_negative = 0x7FFF;
  bool has_positive = false, has_negative = false;
  Counts counts;
  for (std::size_t i = 0; i < n; ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, data + 2 * i, 2);
    const auto magnitude = static_cast<std::uint16_t>(bits & 0x7FFFU);
    if (magnitude >= 0x7C00U) {
      ++counts.summary.n_not_finite;
      continue;
    }
    counts.summary.n_subnormal_fp16 += magnitude != 0 && magnitude < 0x0400U ? 1 : 0;
    counts.summary.n_negative_zero += bits == 0x8000U ? 1 : 0;
    if ((bits & 0x8000U) != 0) {
      has_negative = true;
      largest_negative = std::max(largest_negative, magnitude);
      smallest_negative = std::min(smallest_negative, magnitude);
    } else {
      has_positive = true;
      largest_positive = std::max(largest_positive, magnitude);
      smallest_positive = std::min(smallest_positive, magnitude);
    }
  }
  const auto value = [](std::uint16_t bits) { return static_cast<double>(half_to_float(bits)); };
  if (has_positive || has_negative) {
    counts.summary.range = {has_negative ? -value(largest_negative) : value(smallest_positive),
                            has_positive ? value(largest_positive) : -value(smallest_negative)};
  }
  return counts.summary;
}

ConstantSummary summarize_fp32(const std::byte* data, std::size_t n) {
  Counts counts;
  for (std::size_t i = 0; i < n; ++i) {
    float value = 0;
    std::memcpy(&value, data + 4 * i, 4);
    counts.look_at(static_cast<double>(value));
  }
  if (counts.low <= counts.high) counts.summary.range = {counts.low, counts.high};
  return counts.summary;
}

}  // namespace

RangeAnalysis::RangeAnalysis(const FunctionView& function) : function_(function) {
  values_.resize(function.values().size());
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const ValueView& value = function.values()[i];
    if (value.literal == nullptr) continue;
    if (const ConstantSummary* known = summary(*value.literal)) values_[i] = known->range;
  }
  for (const OpView& op : function.operations()) {
    for (std::size_t i = 0; i < op.outputs.size(); ++i) {
      const Range range = compute(op, i);
      const bool is_valid = range.low <= range.high;  // false for NaN
      values_[static_cast<std::size_t>(op.outputs[i])] = is_valid ? range : Range{};
    }
  }
}

const ConstantSummary* RangeAnalysis::summary(const mil::Literal& literal) const {
  if (!literal.type.is_tensor() || !is_float(literal.type.dtype)) return nullptr;
  const auto found = summaries_.find(&literal);
  if (found != summaries_.end()) {
    return found->second.n_elements > 0 ? &found->second : nullptr;
  }
  ConstantSummary& made = summaries_[&literal];
  const mil::Constant* constant = function_.constant(literal);
  if (constant == nullptr) return nullptr;
  const std::size_t size = dtype_size(literal.type.dtype);
  const std::size_t n = constant->data.size() / size;
  if (n == 0 || static_cast<std::int64_t>(n) > elements_left_) return nullptr;
  if (literal.type.dtype == DType::kFp16) {
    made = summarize_fp16(constant->data.data(), n);
  } else if (literal.type.dtype == DType::kFp32) {
    made = summarize_fp32(constant->data.data(), n);
  } else {
    return nullptr;
  }
  elements_left_ -= static_cast<std::int64_t>(n);
  made.n_elements = static_cast<std::int64_t>(n);
  if (made.n_not_finite > 0) made.range = {};
  return &made;
}

Range RangeAnalysis::of(const InputView& input) const {
  if (input.value >= 0) return values_[static_cast<std::size_t>(input.value)];
  if (input.literal == nullptr) return {};
  const ConstantSummary* known = summary(*input.literal);
  return known != nullptr ? known->range : Range{};
}

std::int64_t contracted_extent(const FunctionView& function, const OpView& op) {
  const auto at = [](const Shape& dims, std::size_t from_end) {
    return dims.size() >= from_end ? std::max<std::int64_t>(dims[dims.size() - from_end], 0) : 0;
  };
  if (op.type() == "matmul") {
    const InputView* x = op.input("x");
    if (x == nullptr) return 0;
    const bool transpose = function.boolean(op, "transpose_x").value_or(false);
    return at(x->dims(), transpose && x->rank() > 1 ? 2 : 1);
  }
  if (op.type() == "linear") {
    const InputView* x = op.input("x");
    return x == nullptr ? 0 : at(x->dims(), 1);
  }
  if (op.type() == "conv") {
    const InputView* weight = op.input("weight");
    if (weight == nullptr || weight->rank() < 3) return 0;
    Shape taps(weight->dims().begin() + 1, weight->dims().end());
    return element_count(taps).value_or(0);
  }
  return 0;
}

// A sum of `terms` products. At least bounded by terms * |x| * |w|; one sign stays one sign.
Range RangeAnalysis::product(const OpView& op) const {
  const InputView* x = op.input("x");
  const InputView* y = op.type() == "matmul" ? op.input("y") : op.input("weight");
  const auto terms = static_cast<double>(contracted_extent(function_, op));
  if (x == nullptr || y == nullptr || terms == 0) return {};
  Range one = multiply(of(*x), of(*y));
  // Padding adds zeros.
  if (op.type() == "conv") one = join(one, {0, 0});
  Range sum = {times(one.low, terms), times(one.high, terms)};
  if (const InputView* bias = op.input("bias")) sum = add(sum, of(*bias));
  return sum;
}

// Weights kept compressed. Integers of n bits less a zero point lie within 2^n - 1 of zero.
Range RangeAnalysis::expanded(const OpView& op) const {
  const auto range_of = [&](std::string_view name) {
    const InputView* input = op.input(name);
    return input != nullptr ? of(*input) : Range{};
  };
  if (op.type() == "constexpr_lut_to_dense") return range_of("lut");
  if (op.type() == "constexpr_sparse_to_dense") {
    const bool is_new = op.input("nonzero_data") != nullptr;
    return join(range_of(is_new ? "nonzero_data" : "nonzero_values"), {0, 0});
  }
  const InputView* data = nullptr;
  if (op.type() == "constexpr_affine_dequantize") data = op.input("quantized_data");
  if (op.type() == "constexpr_blockwise_shift_scale") data = op.input("data");
  if (data == nullptr || data->type == nullptr || !is_integer(data->type->dtype)) return {};
  const int bits = dtype_info(data->type->dtype).bits;
  if (bits > 8) return {};
  const double most = std::ldexp(1.0, bits) - 1;
  return multiply(range_of("scale"), {-most, most});
}

Range RangeAnalysis::compute(const OpView& op, std::size_t output) const {
  const std::string_view type = op.type();
  const auto bound = std::find_if(kBounds.begin(), kBounds.end(),
                                  [&](const Bounds& row) { return row.op == type; });
  if (bound != kBounds.end()) return bound->range;
  if (type.starts_with("constexpr_")) return expanded(op);
  const InputView* x = op.input("x");
  const InputView* y = op.input("y");
  const auto range_of = [&](const InputView* input) { return input ? of(*input) : Range{}; };
  const Range a = range_of(x);
  if (stays_within(type)) return a;
  // conv and pools pad with zeros; pad with a constant.
  if (type == "pad") {
    const auto value = function_.real(op, "constant_val");
    const double fill = value.value_or(op.input("constant_val") == nullptr ? 0 : kInfinity);
    return join(a, {std::isfinite(fill) ? fill : -kInfinity, fill});
  }
  if (type == "clip") {
    const auto low = function_.real(op, "alpha");
    const auto high = function_.real(op, "beta");
    return {low.value_or(-kInfinity), high.value_or(kInfinity)};
  }
  if (type == "relu") return {std::max(a.low, 0.0), std::max(a.high, 0.0)};
  if (type == "abs")
    return {square(a).low > 0 ? std::min(std::fabs(a.low), std::fabs(a.high)) : 0, a.magnitude()};
  if (type == "square") return square(a);
  if (type == "sqrt" || type == "rsqrt")
    return {0, type == "sqrt" ? std::sqrt(std::max(a.high, 0.0)) : kInfinity};
  if (type == "silu") return {std::max(-0.28, std::min(a.low, 0.0)), std::max(a.high, 0.0)};
  if (type == "gelu") return {std::max(-0.18, std::min(a.low, 0.0)), std::max(a.high, 0.0)};
  if (type == "cast") {
    const InputView* cast = x;
    return cast != nullptr && cast->type != nullptr && is_float(cast->type->dtype) ? a : Range{};
  }
  if (type == "concat" || type == "stack") {
    Range all = {kInfinity, -kInfinity};
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      if (op.names[i] == "values") all = join(all, of(op.inputs[i]));
    }
    return all;
  }
  if (type == "select") return join(range_of(op.input("a")), range_of(op.input("b")));
  if (type == "matmul" || type == "linear" || type == "conv") return product(op);
  if (type == "reduce_sum" || type == "reduce_sum_square") {
    const auto all = x == nullptr ? std::nullopt : element_count(x->dims());
    const auto left = element_count(function_.result(op, output).dims());
    if (!all || !left || *left == 0) return {};
    const double terms = static_cast<double>(*all) / static_cast<double>(*left);
    const Range one = type == "reduce_sum" ? a : square(a);
    return {times(one.low, terms), times(one.high, terms)};
  }
  if (x == nullptr || y == nullptr) return {};
  const Range b = of(*y);
  if (type == "mul") return x->value >= 0 && x->value == y->value ? square(a) : multiply(a, b);
  if (type == "add") return add(a, b);
  if (type == "sub") return add(a, negate(b));
  if (type == "maximum") return {std::max(a.low, b.low), std::max(a.high, b.high)};
  if (type == "minimum") return {std::min(a.low, b.low), std::min(a.high, b.high)};
  if (type == "real_div" && (b.low > 0 || b.high < 0)) {
    return multiply(a, {1 / b.high, 1 / b.low});
  }
  return {};
}

}  // namespace pyane::chip
