#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace pyane {

/// Instruction sets that hot loops come in. What each stands for: kAvx2 = AVX2 + FMA + F16C,
/// kAvx512 = that + AVX-512 F, BW, DQ, VL; kNeon is what every 64-bit Arm has; kScalar is plain
/// C++, everywhere.
enum class Isa : std::uint8_t { kScalar, kNeon, kAvx2, kAvx512 };

/// "scalar", "neon", "avx2", "avx512"
std::string_view isa_name(Isa isa);

/// The instruction set in use: the best that this CPU and operating system have, unless lowered by
/// the environment variable PYANE_ISA (read once) or set_isa().
/// @throws Error  when PYANE_ISA is no such name, or this CPU has no such instructions.
Isa active_isa();

/// The instruction sets that this CPU has, the best last.
std::vector<Isa> available_isas();

/// Chooses the instruction set for everything planned from now on. For tests.
/// @throws Error  as active_isa().
void set_isa(std::string_view name);

/// Physical cores that this process may use (affinity mask, and a container's CPU quota), at
/// least 1. On Apple silicon: performance cores.
int usable_cores();

/// Bytes of main memory; the largest number when the system does not say.
std::int64_t memory_of_machine();

}  // namespace pyane
