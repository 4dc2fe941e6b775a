#include <algorithm>
#include <string>

#include "pyane/chip/ranges.h"
#include "pyane/chip/rules.h"

namespace pyane::chip {
namespace {

void check_rank(const RuleContext& context, Report& report) {
  for (const OpView* op : context.function.operations_of({"matmul", "linear"})) {
    const bool is_linear = op->type() == "linear";
    std::size_t rank = 0;
    for (const std::string_view name : {"x", "y"}) {
      if (const InputView* input = op->input(name)) rank = std::max(rank, input->rank());
    }
    if (rank < 5) continue;
    report.add(
        {.place = Place::of(*op),
         .message = "operands must have at most four dimensions, got " + std::to_string(rank),
         .engine_text = is_linear ? "ANE cannot support Linear with input rank >= 5"
                                  : "depth > 1 is not supported for MatMult"});
  }
}

void check_inner(const RuleContext& context, Report& report) {
  const auto& limit = context.chip.limits.max_matmul_inner;
  // Longer ones are axes too long: ANE011.
  const std::int64_t longest = context.chip.limits.max_width.value;
  for (const OpView* op : context.function.operations_of({"matmul", "linear"})) {
    const std::int64_t inner = contracted_extent(context.function, *op);
    if (inner <= limit.value || inner > longest) continue;
    report.add({.place = Place::of(*op),
                .message = "the contracted extent must be at most " + std::to_string(limit.value) +
                           ", got " + std::to_string(inner),
                .evidence = evidence_of(limit)});
  }
}

}  // namespace

std::vector<Rule> matmul_rules() {
  return {
      {.id = "ANE040",
       .name = "matmul-rank",
       .title = "A matmul of five dimensions",
       .severity = Severity::kRefusedAtCompile,
       .why = "The engine's product has batch, height and width, and no depth.",
       .instead = "Fold leading dimensions into one.",
       .evidence = "ane-guide ch.4, measured on M1 Max; ANEForge 0.4.0 on M5 Pro.",
       .engine_text = "depth > 1 is not supported for MatMult",
       .check_function = check_rank},
      {.id = "ANE041",
       .name = "matmul-inner-extent",
       .title = "A matmul that sums over very many terms",
       .severity = Severity::kRefusedAtCompile,
       .why = "The contracted extent is bounded by 32768.",
       .instead = "Split it and add the products.",
       .evidence = "751K-ANE 3.3, measured on M4.",
       .engine_text = {},
       .check_function = check_inner},
  };
}

}  // namespace pyane::chip
