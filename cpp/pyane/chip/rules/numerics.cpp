#include <algorithm>
#include <array>
#include <string>
#include <unordered_set>
#include <vector>

#include "pyane/chip/ranges.h"
#include "pyane/chip/rules.h"

// Arithmetic that is not IEEE's: docs/numerics.md.

namespace pyane::chip {
namespace {

// Arguments that are data, not settings: clip's bounds may well be infinite.
bool is_data(std::string_view argument) {
  static constexpr std::array<std::string_view, 11> kNames = {
      "a",     "attn_mask", "b",      "bias", "constant_val", "data", "updates",
      "value", "values",    "weight", "y"};
  return argument == "x" || std::find(kNames.begin(), kNames.end(), argument) != kNames.end();
}

void check_constants(const RuleContext& context, Report& report) {
  const FunctionView& function = context.function;
  std::unordered_set<const mil::Literal*> seen;
  for (const OpView& op : function.operations()) {
    if (op.type().starts_with("constexpr_")) continue;
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      const mil::Literal* literal = op.inputs[i].literal;
      if (literal == nullptr || !is_data(op.names[i]) || !seen.insert(literal).second) continue;
      const ConstantSummary* known = function.ranges().summary(*literal);
      if (known == nullptr || known->n_not_finite + known->n_beyond_fp16 == 0) continue;
      const bool is_beyond = known->n_not_finite == 0;
      report.add({.place = Place::of(op),
                  .message = std::string(op.names[i]) + " has " +
                             std::to_string(known->n_not_finite + known->n_beyond_fp16) + " of " +
                             std::to_string(known->n_elements) + " elements " +
                             (is_beyond ? "that are infinite in fp16" : "infinite or NaN"),
                  .evidence = evidence_of(context.chip.numerics.nan_becomes_infinity)});
    }
  }
}

void check_nan_test(const RuleContext& context, Report& report) {
  for (const OpView* op : context.function.operations_of({"equal", "not_equal"})) {
    const InputView* x = op->input("x");
    const InputView* y = op->input("y");
    if (x == nullptr || y == nullptr || x->value < 0 || x->value != y->value) continue;
    report.add({.place = Place::of(*op),
                .message = "'" + std::string(context.function.value_of(*x)->name) +
                           "' compared with itself: there is no NaN to be found",
                .evidence = evidence_of(context.chip.numerics.nan_becomes_infinity)});
  }
}

bool is_scalar(const InputView& input) {
  return std::all_of(input.dims().begin(), input.dims().end(), [](auto dim) { return dim == 1; });
}

void check_scale(const RuleContext& context, Report& report) {
  const auto& quirk = context.chip.quirks.drops_scale_after_rounding;
  const FunctionView& function = context.function;
  const auto is_rounding = [&](const InputView& input) {
    const OpView* op = function.producer_of(input);
    return op != nullptr &&
           (op->type() == "floor" || op->type() == "ceil" || op->type() == "round");
  };
  const auto is_factor = [&](const InputView& input) {
    return function.is_constant(input) && input.type != nullptr && is_scalar(input);
  };
  for (const OpView* op : function.operations_of({"mul"})) {
    const InputView* x = op->input("x");
    const InputView* y = op->input("y");
    if (x == nullptr || y == nullptr) continue;
    if (!(is_rounding(*x) && is_factor(*y)) && !(is_rounding(*y) && is_factor(*x))) continue;
    report.add({.place = Place::of(*op),
                .message = std::string("the factor after rounding is dropped") +
                           (quirk.value ? "" : " on M5 Pro; of this chip it is not known"),
                .is_contested = !quirk.value,
                .evidence = evidence_of(quirk)});
  }
}

void check_log(const RuleContext& context, Report& report) {
  constexpr double kSmallestFp16 = 5.9604644775390625e-08;
  const FunctionView& function = context.function;
  for (const OpView* op : function.operations_of({"log"})) {
    const InputView* x = op->input("x");
    if (x == nullptr || function.is_constant(*x)) continue;
    // Worth a word only where 0 is a usual value: after softmax, sigmoid, relu, ...
    const Range range = function.range(*x);
    if (range.low != 0 || function.real(*op, "epsilon").value_or(0) >= kSmallestFp16) continue;
    report.add({.place = Place::of(*op),
                .message = "the operand may be 0, whose logarithm is -45440 here; epsilon is 0 in "
                           "fp16",
                .evidence = evidence_of(context.chip.numerics.log_of_zero)});
  }
}

void check_subnormals(const RuleContext& context, Report& report) {
  const auto& flush = context.chip.numerics.flush_mac_denormals;
  if (!flush.value) return;
  const FunctionView& function = context.function;
  for (const OpView* op : function.operations_of({"conv", "linear", "matmul"})) {
    const InputView* weight = op->input(op->type() == "matmul" ? "y" : "weight");
    if (weight == nullptr || weight->literal == nullptr) continue;
    const ConstantSummary* known = function.ranges().summary(*weight->literal);
    // A few are in every trained weight.
    if (known == nullptr || known->n_subnormal_fp16 * 20 < known->n_elements) continue;
    report.add({.place = Place::of(*op),
                .message = std::to_string(known->n_subnormal_fp16) + " of " +
                           std::to_string(known->n_elements) +
                           " weights are smaller than 6.1e-05 and count as 0",
                .evidence = evidence_of(flush)});
  }
}

void check_negative_zero(const RuleContext& context, Report& report) {
  const FunctionView& function = context.function;
  std::unordered_set<const mil::Literal*> seen;
  for (const OpView& op : function.operations()) {
    if (op.type().starts_with("constexpr_")) continue;
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      const mil::Literal* literal = op.inputs[i].literal;
      if (literal == nullptr || !is_data(op.names[i]) || !seen.insert(literal).second) continue;
      const ConstantSummary* known = function.ranges().summary(*literal);
      // Some are in many weights, by rounding; nothing else is somebody's intention.
      if (known == nullptr || known->n_negative_zero < known->n_elements) continue;
      report.add({.place = Place::of(op),
                  .message = std::string(op.names[i]) + " is -0, which counts as +0",
                  .evidence = evidence_of(context.chip.numerics.drops_zero_sign)});
    }
  }
}

void check_softplus(const RuleContext& context, Report& report) {
  constexpr double kInfiniteInFp16 = 65520;
  const FunctionView& function = context.function;
  std::vector<const OpView*> found;
  for (const OpView* op : function.operations_of({"softplus", "softplus_parametric", "softsign"})) {
    const InputView* x = op->input("x");
    // A parameter is what the caller makes of it.
    if (x == nullptr || function.producer_of(*x) == nullptr || function.is_constant(*x)) continue;
    if (function.range(*x).high >= kInfiniteInFp16) found.push_back(op);
  }
  if (found.empty()) return;
  report.add({.place = Place::of(*found.front()),
              .message = "nothing proves that the operand is finite, and of +inf " +
                         std::string(found.front()->type()) + " is 0 here" + and_more(found.size()),
              .evidence = evidence_of(context.chip.numerics.softplus_of_infinity_is_zero)});
}

}  // namespace

std::vector<Rule> numerics_rules() {
  return {
      {.id = "ANE080",
       .name = "infinite-constant",
       .title = "A constant that is infinite or NaN in fp16",
       .severity = Severity::kAdvice,
       .why = "NaN becomes +inf, inf - inf and 0 * inf become 0: masks of -inf and NaN as a "
              "marker silently change their meaning.",
       .instead = "Use finite masks, such as -1e4 or -40000.",
       .evidence = "ane-guide ch.3, measured on M1 Max.",
       .engine_text = {},
       .check_function = check_constants},
      {.id = "ANE081",
       .name = "nan-test",
       .title = "A test for NaN",
       .severity = Severity::kSilentlyWrong,
       .why = "The engine never makes a NaN: at its inputs NaN becomes +inf.",
       .instead = "Test on the CPU, or compare magnitudes with a large number.",
       .evidence = "ane-guide ch.3, measured on M1 Max.",
       .engine_text = {},
       .check_function = check_nan_test},
      {.id = "ANE082",
       .name = "scale-after-rounding",
       .title = "floor, ceil or round, then a factor",
       .severity = Severity::kSilentlyWrong,
       .why = "Multiplying a rounded tensor by one number is fused, and the number lost: "
              "floor(x) * k gives floor(x).",
       .instead = "Multiply by a constant of the tensor's whole shape, or add instead.",
       .evidence = "ANEForge 0.4.0, measured on M5 Pro.",
       .engine_text = {},
       .check_function = check_scale},
      {.id = "ANE083",
       .name = "log-of-zero",
       .title = "The logarithm of something that may be 0",
       .severity = Severity::kAdvice,
       .why = "log(0) is -45440, a finite number, so that 0 * log(0) is 0 and sums look plausible; "
              "MIL's default epsilon, 1e-45, is 0 in fp16.",
       .instead = "Give an epsilon of 1e-6 or more, or compute log-softmax as x - max - log(sum).",
       .evidence = "ane-guide ch.3, measured on M1 Max.",
       .engine_text = {},
       .check_function = check_log},
      {.id = "ANE084",
       .name = "subnormal-weights",
       .title = "Weights too small for the multiply-accumulate unit",
       .severity = Severity::kAdvice,
       .why = "M1 (and by its bits M2) takes fp16 subnormals in products as +0; M5 does not.",
       .instead = "Scale the weights up and the result down.",
       .evidence = "ane-guide ch.3, measured on M1 Max and M5 Pro.",
       .engine_text = {},
       .check_function = check_subnormals},
      {.id = "ANE085",
       .name = "negative-zero",
       .title = "A constant of -0",
       .severity = Severity::kAdvice,
       .why = "The engine has one zero: -0 counts as +0, so that 1 / -0 and rsqrt(-0) are +inf, "
              "and signs cannot be carried by zeros.",
       .instead = "Carry signs in a tensor of their own.",
       .evidence = "ane-guide ch.3, measured on M1 Max.",
       .engine_text = {},
       .check_function = check_negative_zero},
      {.id = "ANE086",
       .name = "softplus-of-infinity",
       .title = "softplus or softsign of something that may overflow",
       .severity = Severity::kAdvice,
       .why = "softplus(+inf) and softsign(+inf) are +0, so that an overflow before them looks "
              "like a small number after.",
       .instead = "Clip the operand first.",
       .evidence = "ane-guide ch.3, measured on M1 Max.",
       .engine_text = {},
       .check_function = check_softplus},
  };
}

}  // namespace pyane::chip
