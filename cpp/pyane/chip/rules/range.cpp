#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "pyane/chip/ranges.h"
#include "pyane/chip/rules.h"

// Values that leave the range of some unit. What is proven of a value: ranges.h.

namespace pyane::chip {
namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.5g", value);
  return text;
}

std::string proven(Range range) {
  return range.is_bounded() ? "magnitudes up to " + number(range.magnitude()) + " are possible"
                            : "no bound of its input is proven";
}

bool is_float_tensor(const InputView& input) {
  return input.type != nullptr && input.type->is_tensor() && is_float(input.type->dtype);
}

/// A slice of run-time floats that begins inside the last axis.
bool is_width_slice(const FunctionView& function, const OpView& op) {
  if (op.type() != "slice_by_index" && op.type() != "slice_by_size") return false;
  const InputView* x = op.input("x");
  const auto begin = function.integers(op, "begin");
  if (x == nullptr || !is_float_tensor(*x) || function.is_constant(*x)) return false;
  if (!begin || begin->empty() || begin->size() != x->rank() || begin->back() == 0) return false;
  const auto mask = function.integers(op, "begin_mask");
  return !(mask && mask->size() == begin->size() && mask->back() != 0);
}

void check_width_slice(const RuleContext& context, Report& report) {
  const Numerics& numerics = context.chip.numerics;
  const auto& saturates = numerics.width_slice_saturates;
  if (!saturates.value && !is_contested(saturates)) return;
  const FunctionView& function = context.function;
  for (const OpView* op : function.operations_of({"slice_by_index", "slice_by_size"})) {
    if (!is_width_slice(function, *op)) continue;
    const Range range = function.range(*op->input("x"));
    const double ceiling = static_cast<double>(numerics.width_slice_ceiling.value);
    if (range.magnitude() <= ceiling) continue;
    report.add({.place = Place::of(*op),
                .message = "a slice that begins inside the last axis turns magnitudes above " +
                           number(ceiling) + " infinite; " + proven(range),
                .is_contested = !saturates.value,
                .evidence = evidence_of(saturates)});
  }
}

void check_slice_concat(const RuleContext& context, Report& report) {
  const auto& wrong = context.chip.numerics.w_slice_concat_wrong;
  if (!wrong.value) return;
  const FunctionView& function = context.function;
  for (const OpView* op : function.operations_of({"concat"})) {
    int slices = 0;
    for (const InputView& input : op->inputs) {
      const OpView* producer = function.producer_of(input);
      slices += producer != nullptr && is_width_slice(function, *producer) ? 1 : 0;
    }
    if (slices < 2) continue;
    report.add({.place = Place::of(*op),
                .message = std::to_string(slices) +
                           " of its operands are slices that begin inside the last axis",
                .evidence = evidence_of(wrong)});
  }
}

void check_mac(const RuleContext& context, Report& report) {
  const auto& fact = context.chip.numerics.mac_ceiling;
  if (!fact.value) return;
  const double ceiling = static_cast<double>(*fact.value);
  const FunctionView& function = context.function;
  std::vector<const OpView*> unproven;
  for (const OpView* op : function.operations_of({"conv", "linear", "matmul"})) {
    // One product is no sum.
    if (op->type() == "conv" && contracted_extent(function, *op) == 1) continue;
    if (op->outputs.empty() || function.result(*op).is_constant) continue;
    const Range range = function.ranges().of(op->outputs.front());
    if (range.magnitude() < ceiling) continue;
    if (range.low >= ceiling || range.high <= -ceiling) {
      report.add({.place = Place::of(*op),
                  .message = "every sum is at least " +
                             number(std::fmin(std::fabs(range.low), std::fabs(range.high))) +
                             ", and infinite from " + number(ceiling) + " on",
                  .severity = Severity::kSilentlyWrong,
                  .evidence = evidence_of(fact)});
    } else {
      unproven.push_back(op);
    }
  }
  if (unproven.empty()) return;
  report.add({.place = Place::of(*unproven.front()),
              .message = "sums of products are infinite from " + number(ceiling) +
                         " on (fp16 ends "
                         "at 65504), partial sums too; " +
                         (function.ranges().of(unproven.front()->outputs.front()).is_bounded()
                              ? "such sums are not ruled out here"
                              : "no bound is proven here") +
                         and_more(unproven.size()),
              .evidence = evidence_of(fact)});
}

// The int8 weight of a product: the result of a constexpr operation on int8 data.
bool has_int8_weight(const FunctionView& function, const OpView& op) {
  const InputView* weight = op.input(op.type() == "matmul" ? "y" : "weight");
  if (weight == nullptr) return false;
  const OpView* origin = function.origin_of(*weight);
  if (origin == nullptr) return false;
  const InputView* data = nullptr;
  if (origin->type() == "constexpr_affine_dequantize") data = origin->input("quantized_data");
  if (origin->type() == "constexpr_blockwise_shift_scale") data = origin->input("data");
  return data != nullptr && data->type != nullptr &&
         (data->type->dtype == DType::kInt8 || data->type->dtype == DType::kUint8);
}

void check_int8(const RuleContext& context, Report& report) {
  const auto& fact = context.chip.numerics.int8_weight_activation_ceiling;
  const double ceiling = static_cast<double>(fact.value);
  const FunctionView& function = context.function;
  for (const OpView* op : function.operations_of({"linear", "matmul"})) {
    const InputView* x = op->input("x");
    if (x == nullptr || !has_int8_weight(function, *op)) continue;
    const Range range = function.range(*x);
    if (range.magnitude() <= ceiling) continue;
    report.add({.place = Place::of(*op),
                .message = "with 8-bit weights, activations above " + number(ceiling) +
                           " become infinite; " + proven(range),
                .evidence = evidence_of(fact)});
  }
}

void check_long_products(const RuleContext& context, Report& report) {
  constexpr std::int64_t kLong = 2048;
  const FunctionView& function = context.function;
  std::vector<const OpView*> found;
  std::int64_t longest = 0;
  for (const OpView* op : function.operations_of({"conv", "linear", "matmul"})) {
    const std::int64_t terms = contracted_extent(function, *op);
    if (terms < kLong || op->outputs.empty()) continue;
    // Products of one sign do not cancel.
    if (function.ranges().of(op->outputs.front()).has_one_sign()) continue;
    found.push_back(op);
    longest = std::max(longest, terms);
  }
  if (found.empty()) return;
  const double error = 1.2e-2 * std::pow(static_cast<double>(longest) / 2048.0, 1.19);
  report.add({.place = Place::of(*found.front()),
              .message = "sums over " + std::to_string(longest) +
                         " products of both signs: published errors are about " + number(error) +
                         " of the result's size" + and_more(found.size()),
              .is_contested = true});
}

void check_signed_sum(const RuleContext& context, Report& report) {
  constexpr std::int64_t kManyTerms = 256;
  const FunctionView& function = context.function;
  std::vector<const OpView*> found;
  std::int64_t most = 0;
  for (const OpView* op : function.operations_of({"reduce_mean", "reduce_sum"})) {
    const InputView* x = op->input("x");
    if (x == nullptr || op->outputs.empty() || !is_float_tensor(*x)) continue;
    const auto all = element_count(x->dims());
    const auto left = element_count(function.result(*op).dims());
    if (!all || !left || *left == 0 || *all / *left < kManyTerms) continue;
    if (function.range(*x).has_one_sign()) continue;
    found.push_back(op);
    most = std::max(most, *all / *left);
  }
  if (found.empty()) return;
  report.add({.place = Place::of(*found.front()),
              .message = "sums " + std::to_string(most) +
                         " terms of both signs in a narrow "
                         "accumulator" +
                         and_more(found.size())});
}

}  // namespace

std::vector<Rule> range_rules() {
  return {
      {.id = "ANE070",
       .name = "width-slice-saturates",
       .title = "A slice that begins inside the last axis",
       .severity = Severity::kSilentlyWrong,
       .why = "M1 and M2 cut such slices while copying in a fixed-point format with four "
              "fractional bits: magnitudes of 4095 and more come out infinite.",
       .instead = "Slice along channels (transpose first), begin at 0, or clip to 4094 before.",
       .evidence = "ane-guide ch.12, 15, 19, measured on M1 Max and M2 Pro; ANEForge issue 150.",
       .engine_text = {},
       .check_function = check_width_slice},
      {.id = "ANE071",
       .name = "width-slices-concatenated",
       .title = "Slices from inside the last axis, concatenated",
       .severity = Severity::kSilentlyWrong,
       .why = "Before M4, concatenating two or more slices that begin inside the last axis gives "
              "wrong elements.",
       .instead = "Slice along another axis: transpose first.",
       .evidence = "ANEForge 0.4.0, measured on M2 Pro, and said of all below A16.",
       .engine_text = {},
       .check_function = check_slice_concat},
      {.id = "ANE072",
       .name = "sum-of-products-overflows",
       .title = "Sums of products that may reach 32768",
       .severity = Severity::kAdvice,
       .why =
           "The multiply-accumulate unit's result is infinite from 2^15 on, half of what fp16 "
           "holds, and stays so if a partial sum was. Elementwise operations and reduce_sum have "
           "the whole range. Silently wrong where the sum is sure to be that large, advice where "
           "nothing rules it out.",
       .instead = "Scale one operand down before and the result up after; in training choose the "
                  "loss scale accordingly.",
       .evidence =
           "ane-guide ch.3 on M1 Max; 751K-ANE on M4; ANEForge issue 150 on M2 Pro, M5 Pro.",
       .engine_text = {},
       .check_function = check_mac},
      {.id = "ANE073",
       .name = "activation-for-int8-weights",
       .title = "Large activations into 8-bit weights",
       .severity = Severity::kSilentlyWrong,
       .why = "A matmul with 8-bit weights sends its activations through a format that ends at "
              "4094, whatever the scales.",
       .instead = "Clip or normalise the activations first, or keep these weights in fp16 or as a "
                  "4-bit palette.",
       .evidence = "ANEForge 0.4.0, measured on M1 Max, M2 Pro and M5 Pro.",
       .engine_text = {},
       .check_function = check_int8},
      {.id = "ANE074",
       .name = "long-products",
       .title = "Sums of thousands of products of both signs",
       .severity = Severity::kAdvice,
       .why = "Published relative errors grow from 1.2e-2 at 2048 terms to 6e-2 at 8192, a hundred "
              "times those of a GPU; the published accumulator vectors do not explain them.",
       .instead = "Split the sum and add the parts in fp16, or on the CPU, where it matters: the "
                  "down-projection of a decoder is the usual place.",
       .evidence = "ane-guide ch.11, 14, on M1 Max and M5 Pro.",
       .engine_text = {},
       .check_function = check_long_products},
      {.id = "ANE075",
       .name = "signed-reduce-sum",
       .title = "A sum of hundreds of terms of both signs",
       .severity = Severity::kAdvice,
       .why = "reduce_sum and reduce_mean accumulate less exactly than a matmul does.",
       .instead = "Multiply by a vector of ones.",
       .evidence = "ANEForge 0.4.0; ane-guide ch.16.",
       .engine_text = {},
       .check_function = check_signed_sum},
  };
}

}  // namespace pyane::chip
