#include <vector>

#include "pyane/emulator/kernels/registry.h"

// Operations that the planner takes apart itself: blocks and states.

namespace pyane::emulator {

std::span<const KernelRecord> control_kernels() {
  static const std::vector<KernelRecord> records = {
      {.op = "cond", .operands = {"pred"}, .is_control = true},
      {.op = "coreml_update_state",
       .operands = {"state", "value"},
       .reads_state = true,
       .writes_state = true},
      {.op = "read_state", .operands = {"input"}, .reads_state = true},
      {.op = "while_loop", .operands = {"loop_vars"}, .is_control = true},
      {.op = "write_state", .operands = {"input", "data"}, .writes_state = true},
  };
  return records;
}

}  // namespace pyane::emulator
