#pragma once

#include <cstdint>

#include "pyane/mil/op_set.h"

namespace pyane::emulator {

/// Most entries of a table that a step keeps: real programs stay below a million, and hostile text
/// must not take memory by a number in it.
inline constexpr std::int64_t kMaxTable = std::int64_t{1} << 24;

/// @param what  What there is an entry for: "element of a resized dimension".
/// @throws CompileError  for more than kMaxTable entries.
void require_table(const mil::OpContext& op, std::int64_t n, const char* what);

}  // namespace pyane::emulator
