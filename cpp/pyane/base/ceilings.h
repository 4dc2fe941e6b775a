#pragma once

#include <cstddef>

#include "pyane/base/half.h"

// What this machine can do, measured: ceilings that benchmarks and profiles compare with. All of
// them run on threads of their own, not on the pool, and take the best of several short runs
// (best_rate.h), some 15 ms in all. The multiply-add ceiling stands with the kernels of matrix
// products (linalg/gemm.h). Rates are in 1e9 per second.

namespace pyane {

/// Reads fp16, converts to fp32, rounds back to fp16 and writes: the least that an operation on
/// fp16 tensors does. GB/s of fp16 read and written, with `n_bytes` of them in all, an equal part
/// for each thread: small enough, they stay in a core's caches.
double measure_conversion_gbps(std::size_t n_bytes, int threads);

/// memcpy: GB/s read and written, with `n_bytes` of memory in all, shared as above.
double measure_copy_gbps(std::size_t n_bytes, int threads);

/// a = b + 3 c in fp32 with stores that bypass the caches where the CPU has them: GB/s of the three
/// streams, `n_bytes` in all. For memory bandwidth give several times the last cache's size.
double measure_triad_gbps(std::size_t n_bytes, int threads);

/// Products of 8-bit integers summed in 32 bits, on registers alone (VNNI or dot-product
/// instructions). 1e9 operations a second, a multiply-add being 2; 0 where the CPU, or the chosen
/// instruction set (base/cpu.h), has none.
double measure_int8_gops(int threads);

/// The conversion of measure_conversion_gbps on the active instruction set; for its tests.
void round_trip(const half_bits* source, half_bits* target, std::size_t n);

}  // namespace pyane
