#include <algorithm>
#include <string>
#include <vector>

#include "pyane/chip/rules.h"

// Inputs and outputs as memory. A program does not say how its surfaces are allocated; these rules
// say what it asks of them.

namespace pyane::chip {
namespace {

struct Side {
  const char* word;
  std::vector<const ValueView*> values;  ///< In declared order.
};

std::vector<Side> sides(const FunctionView& function) {
  Side inputs{.word = "input", .values = {}};
  Side outputs{.word = "output", .values = {}};
  for (const ValueView& value : function.values()) {
    if (value.is_parameter && is_run_time_tensor(value)) inputs.values.push_back(&value);
  }
  for (const int id : function.outputs()) {
    if (id < 0) continue;
    const ValueView& value = function.values()[static_cast<std::size_t>(id)];
    if (is_run_time_tensor(value)) outputs.values.push_back(&value);
  }
  return {inputs, outputs};
}

std::vector<const ValueView*> alphabetical(std::vector<const ValueView*> values) {
  std::sort(values.begin(), values.end(),
            [](const ValueView* a, const ValueView* b) { return a->name < b->name; });
  return values;
}

void check_uniform(const RuleContext& context, Report& report) {
  const auto& quirk = context.chip.quirks.wants_uniform_surfaces;
  if (!quirk.value) return;
  std::int64_t most = 0;
  bool differ = false;
  for (const Side& side : sides(context.function)) {
    for (const ValueView* value : side.values) {
      const std::int64_t n_bytes = packed_bytes(*value->type);
      differ = differ || n_bytes != packed_bytes(*side.values.front()->type);
      most = std::max(most, n_bytes);
    }
  }
  if (!differ) return;
  report.add({.place = Place::of(context.function.function()),
              .message = "inputs or outputs differ in size: allocate all surfaces of a request "
                         "alike, with at least " +
                         std::to_string(most) + " bytes",
              .is_contested = is_contested(quirk),
              .evidence = evidence_of(quirk)});
}

void check_order_of_sizes(const RuleContext& context, Report& report) {
  const auto& quirk = context.chip.quirks.wants_ordered_surfaces;
  if (!quirk.value) return;
  for (const Side& side : sides(context.function)) {
    const std::vector<const ValueView*> bound = alphabetical(side.values);
    const bool ascends = side.word[0] == 'i';
    for (std::size_t i = 1; i < bound.size(); ++i) {
      const std::int64_t before = packed_bytes(*bound[i - 1]->type);
      const std::int64_t after = packed_bytes(*bound[i]->type);
      if (ascends ? before <= after : before >= after) continue;
      report.add({.place = Place::of(context.function.function()),
                  .message = std::string(side.word) + "s in alphabetical order must " +
                             (ascends ? "ascend" : "descend") +
                             " in size, unless all surfaces "
                             "have one size: " +
                             describe(*bound[i - 1]) + " comes before " + describe(*bound[i]),
                  .is_contested = is_contested(quirk),
                  .evidence = evidence_of(quirk)});
      break;
    }
  }
}

void check_alphabetical(const RuleContext& context, Report& report) {
  const auto& quirk = context.chip.quirks.binds_alphabetically;
  if (!quirk.value) return;
  for (const Side& side : sides(context.function)) {
    const std::vector<const ValueView*> bound = alphabetical(side.values);
    if (bound == side.values) continue;
    std::string order;
    for (const ValueView* value : bound) {
      order += (order.empty() ? "" : ", ") + std::string(value->name);
      if (order.size() > 120) {
        order += ", ...";
        break;
      }
    }
    report.add({.place = Place::of(context.function.function()),
                .message = std::string(side.word) + "s are bound in the order " + order +
                           ", not as declared",
                .evidence = evidence_of(quirk)});
  }
}

void check_small(const RuleContext& context, Report& report) {
  const auto& limit = context.chip.limits.min_surface_bytes;
  if (is_contested(limit)) return;  // Nobody has met it on this generation.
  std::vector<const ValueView*> small;
  for (const Side& side : sides(context.function)) {
    for (const ValueView* value : side.values) {
      const std::int64_t n_bytes = packed_bytes(*value->type);
      if (n_bytes > 0 && n_bytes < limit.value) small.push_back(value);
    }
  }
  if (small.empty()) return;
  report.add({.place = Place::of(context.function.function()),
              .message = describe(*small.front()) + " takes " +
                         std::to_string(packed_bytes(*small.front()->type)) +
                         " bytes; allocate at least " + std::to_string(limit.value) +
                         ", below which evaluating failed for Orion and not for others" +
                         and_more(small.size()),
              .is_contested = true,
              .evidence = evidence_of(limit)});
}

void check_narrow(const RuleContext& context, Report& report) {
  const auto& limit = context.chip.limits.min_input_width;
  for (const ValueView& value : context.function.values()) {
    if (!value.is_parameter || !is_run_time_tensor(value) || value.dims().empty()) continue;
    const std::int64_t width = value.dims().back();
    if (width < 0 || width >= limit.value) continue;
    report.add({.place = Place::of(value),
                .message = "parameter " + describe(value) + ": the last axis should be at least " +
                           std::to_string(limit.value) + ", got " + std::to_string(width),
                .is_contested = limit.status != Status::kMeasured,
                .evidence = evidence_of(limit)});
  }
}

void check_alignment(const RuleContext& context, Report& report) {
  const auto& limit = context.chip.limits.row_alignment_bytes;
  std::vector<const ValueView*> found;
  for (const Side& side : sides(context.function)) {
    for (const ValueView* value : side.values) {
      // A row by itself, or rows of one element, are no rows to align.
      const Shape& dims = value->dims();
      if (dims.size() < 2 || dims.back() <= 1) continue;
      const std::int64_t row = dims.back() * dtype_info(value->type->dtype).bits / 8;
      if (row % limit.value != 0) found.push_back(value);
    }
  }
  if (found.empty()) return;
  report.add({.place = Place::of(context.function.function()),
              .message = describe(*found.front()) + ": rows are no multiple of " +
                         std::to_string(limit.value) + " bytes" + and_more(found.size()),
              .evidence = evidence_of(limit)});
}

}  // namespace

std::vector<Rule> surface_rules() {
  return {
      {.id = "ANE100",
       .name = "surface-sizes-differ",
       .title = "Inputs or outputs of different sizes",
       .severity = Severity::kAdvice,
       .why = "Evaluating fails with status 0x1d when the surfaces of a request have different "
              "allocation sizes. pyane's own surfaces have one size.",
       .instead = "Allocate every surface with Kernel.surface_bytes.",
       .evidence = "Orion constraints 2 and 12, on M4 Max; maderix/ANE; imperatormk needs an order "
                   "of sizes instead, on M1.",
       .engine_text = "statusType=0x9: Program Inference error, status=0x1d",
       .check_function = check_uniform},
      {.id = "ANE101",
       .name = "surface-size-order",
       .title = "Inputs that do not ascend in size, or outputs that do not descend",
       .severity = Severity::kAdvice,
       .why = "One source gets zeros on M1 when surfaces of different sizes are bound in another "
              "order.",
       .instead = "Allocate every surface with Kernel.surface_bytes.",
       .evidence = "imperatormk, on M1.",
       .engine_text = {},
       .check_function = check_order_of_sizes},
      {.id = "ANE102",
       .name = "small-surface",
       .title = "A tensor smaller than the smallest surface",
       .severity = Severity::kAdvice,
       .why = "Orion could not evaluate with surfaces below 49152 bytes on M4 Max; imperatormk's "
              "bound on M1 is 2 KB; ane-guide used smaller ones.",
       .instead = "Allocate at least so much; the tensor may be smaller.",
       .evidence = "Orion constraint 4.",
       .engine_text = "statusType=0x9: Program Inference error, status=0x1d",
       .check_function = check_small},
      {.id = "ANE103",
       .name = "narrow-input",
       .title = "A parameter with a short last axis",
       .severity = Severity::kSilentlyWrong,
       .why = "On M3 Max inputs narrower than 32 compile, but evaluate to garbage or fail; "
              "ane-guide ran narrower ones on another path.",
       .instead = "Put a longer axis last, or pad to 32.",
       .evidence = "ANE field guide, on M3 Max; rustane wants multiples of 16.",
       .engine_text = {},
       .check_function = check_narrow},
      {.id = "ANE104",
       .name = "unaligned-rows",
       .title = "Rows that are no multiple of 64 bytes",
       .severity = Severity::kSlow,
       .why = "Transfers go in pieces of 64 bytes; other rows were 32 to 64 times slower.",
       .instead = "Make the last axis a multiple of 32 fp16 elements.",
       .evidence = "slavko's measurements; ane-guide app.A; maderix/ANE says 128 bytes for M5.",
       .engine_text = {},
       .check_function = check_alignment},
      {.id = "ANE105",
       .name = "binding-order",
       .title = "Inputs or outputs not declared in alphabetical order",
       .severity = Severity::kAdvice,
       .why = "The framework binds surfaces in the order of the names, not of the declaration. "
              "pyane binds by name.",
       .instead = "Declare them in alphabetical order, so that every tool agrees.",
       .evidence = "Orion constraints 3 and 13, on M4 Max.",
       .engine_text = {},
       .check_function = check_alphabetical},
  };
}

}  // namespace pyane::chip
