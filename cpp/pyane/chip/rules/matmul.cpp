#include <algorithm>
#include <string>
#include <vector>

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

void check_odd_inner(const RuleContext& context, Report& report) {
  constexpr std::int64_t kStep = 32;
  const auto& quirk = context.chip.quirks.zeroes_odd_matmul;
  if (!quirk.value) return;
  std::vector<const OpView*> found;
  for (const OpView* op : context.function.operations_of({"matmul"})) {
    if (contracted_extent(context.function, *op) % kStep != 0) found.push_back(op);
  }
  if (found.empty()) return;
  report.add(
      {.place = Place::of(*found.front()),
       .message = "a matmul over " +
                  std::to_string(contracted_extent(context.function, *found.front())) +
                  " terms, no multiple of 32, gave zeros to one; ane-guide summed other numbers "
                  "of terms rightly" +
                  and_more(found.size()),
       .is_contested = is_contested(quirk),
       .evidence = evidence_of(quirk)});
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
      {.id = "ANE042",
       .name = "matmul-not-of-32",
       .title = "A matmul over an extent that is no multiple of 32",
       .severity = Severity::kSilentlyWrong,
       .why = "One report of zeros on M1; the published vectors of ane-guide, of other lengths, "
              "come out right there.",
       .instead = "If it happens to you: pad both operands with zeros to a multiple of 32.",
       .evidence = "maderix/ANE issue 47; against it ane-guide ch.3, on M1 Max.",
       .engine_text = {},
       .check_function = check_odd_inner},
  };
}

}  // namespace pyane::chip
