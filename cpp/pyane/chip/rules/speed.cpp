#include <string>

#include "pyane/chip/rules.h"

namespace pyane::chip {
namespace {

void check_working_set(const RuleContext& context, Report& report) {
  const auto& limit = context.chip.rates.on_chip_bytes;
  const ValueView* largest = nullptr;
  std::int64_t most = limit.value;
  std::size_t count = 0;
  for (const ValueView& value : context.function.values()) {
    if (!is_run_time_tensor(value)) continue;
    const std::int64_t n_bytes = packed_bytes(*value.type);
    if (n_bytes <= limit.value) continue;
    ++count;
    if (n_bytes <= most) continue;
    most = n_bytes;
    largest = &value;
  }
  if (largest == nullptr) return;
  const OpView* op =
      largest->producer < 0
          ? nullptr
          : &context.function.operations()[static_cast<std::size_t>(largest->producer)];
  report.add({.place = op != nullptr ? Place::of(*op) : Place::of(*largest),
              .message = describe(*largest) + " takes " + std::to_string(most) +
                         " bytes and does not fit into the " + std::to_string(limit.value) +
                         " on the chip" + and_more(count),
              .evidence = evidence_of(limit)});
}

}  // namespace

std::vector<Rule> speed_rules() {
  return {
      {.id = "ANE110",
       .name = "working-set",
       .title = "A tensor that does not fit on the chip",
       .severity = Severity::kSlow,
       .why = "Every operation then reads and writes memory: a chain of layers fell from 12 to 4.8 "
              "TFLOP/s when its activations grew from 1 to 2 MB.",
       .instead = "Smaller batches, or fewer positions at a time.",
       .evidence = "ane-guide ch.9, 12, 21; 751K-ANE.",
       .engine_text = {},
       .check_function = check_working_set},
  };
}

}  // namespace pyane::chip
