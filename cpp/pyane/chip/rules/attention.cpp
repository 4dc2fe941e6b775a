#include <algorithm>
#include <string>

#include "pyane/chip/rules.h"

// scaled_dot_product_attention as one operation.

namespace pyane::chip {
namespace {

void check_mask(const RuleContext& context, Report& report) {
  const auto& quirk = context.chip.quirks.ignores_attention_mask;
  if (!quirk.value) return;
  for (const OpView* op : context.function.operations_of({"scaled_dot_product_attention"})) {
    if (op->input("attn_mask") == nullptr) continue;
    report.add({.place = Place::of(*op),
                .message = "attn_mask may have no effect",
                .is_contested = is_contested(quirk),
                .evidence = evidence_of(quirk)});
  }
}

std::string fault_of(const OpView& op) {
  const InputView* query = op.input("query");
  const InputView* key = op.input("key");
  if (query == nullptr || key == nullptr || query->rank() < 3 || key->rank() < 3) return {};
  const Shape& q = query->dims();
  const Shape& k = key->dims();
  const std::int64_t sq = q[q.size() - 2];
  const std::int64_t sk = k[k.size() - 2];
  if (q.size() >= 4 && q[0] > 1) return "a batch of " + std::to_string(q[0]);
  if (std::min(sq, sk) >= 512) {
    return std::to_string(std::min(sq, sk)) + " positions on both sides (512 or more)";
  }
  if (std::max(sq, sk) > 2048) return std::to_string(std::max(sq, sk)) + " positions";
  if (const InputView* mask = op.input("attn_mask")) {
    const Shape& m = mask->dims();
    const bool has_planes =
        m.size() > 2 && std::any_of(m.begin(), m.end() - 2, [](auto dim) { return dim > 1; });
    if (has_planes) return "a mask for each head";
    if (m.size() >= 2 && m[m.size() - 2] == 1 && sq > 1) return "a mask shared by all queries";
  }
  return {};
}

void check_shape(const RuleContext& context, Report& report) {
  if (context.chip.generation != 1 && context.chip.generation != 5) return;
  for (const OpView* op : context.function.operations_of({"scaled_dot_product_attention"})) {
    const std::string fault = fault_of(*op);
    if (fault.empty()) continue;
    report.add({.place = Place::of(*op),
                .message = "the engine's own attention is wrong for " + fault +
                           " (measured on M5 Pro); whether this operation becomes that is not sure",
                .is_contested = true});
  }
}

}  // namespace

std::vector<Rule> attention_rules() {
  return {
      {.id = "ANE061",
       .name = "attention-mask-ignored",
       .title = "scaled_dot_product_attention with a mask",
       .severity = Severity::kSilentlyWrong,
       .why = "maderix/ANE and Orion (M4) found the mask without effect; ANEForge and 751K-ANE "
              "found it to work.",
       .instead = "Write matmul, add of the mask, softmax, matmul.",
       .evidence = "maderix/ANE; Orion constraint 6; against them ANEForge 0.4.0 and 751K-ANE.",
       .engine_text = {},
       .check_function = check_mask},
      {.id = "ANE062",
       .name = "attention-shape",
       .title = "scaled_dot_product_attention beyond what its unit does right",
       .severity = Severity::kSilentlyWrong,
       .why = "The native unit takes a batch of one and one mask for all heads, and is unreliable "
              "for 512 positions or more on both sides; it does not subtract the maximum unless "
              "told to.",
       .instead = "Write matmul, softmax, matmul: the results are the same bits where both work.",
       .evidence = "ANEForge 0.4.0, measured on M5 Pro; ane-guide ch.22, 26.",
       .engine_text = {},
       .check_function = check_shape},
  };
}

}  // namespace pyane::chip
