#pragma once

#include "pyane/linalg/gemm.h"

namespace pyane::linalg {

/// Computes `spec` on all threads, `c` being fp32 and without a bias, by what is faster on this
/// platform: Accelerate on macOS, whose matrix unit nothing else may program, else Gemm. Sums are
/// the same bits for any number of threads (on Accelerate this is Apple's word).
///
/// @throws ShapeError  as Gemm; c of another type, a bias; by_blas also for operands of which
/// neither rows nor columns are contiguous.
void multiply(const GemmSpec& spec, const void* a, const void* b, float* c);

/// One way and the other, for tests and benchmarks.
void multiply_packed(const GemmSpec& spec, const void* a, const void* b, float* c);
void multiply_by_blas(const GemmSpec& spec, const void* a, const void* b, float* c);

}  // namespace pyane::linalg
