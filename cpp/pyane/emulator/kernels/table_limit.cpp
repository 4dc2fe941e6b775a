#include "pyane/emulator/kernels/table_limit.h"

#include <string>

#include "pyane/base/error.h"

namespace pyane::emulator {

void require_table(const mil::OpContext& op, std::int64_t n, const char* what) {
  if (n <= kMaxTable) return;
  throw CompileError(op.record().name + " '" + op.operation().display_name() +
                     "': the emulator keeps an entry for each " + what + ", " +
                     std::to_string(kMaxTable) + " at most, got " + std::to_string(n));
}

}  // namespace pyane::emulator
