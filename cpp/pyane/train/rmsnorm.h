#pragma once

#include <span>

#include "pyane/train/activations.h"

namespace pyane {

/// Root-mean-square normalisation over C.
///
///   y[b,c,s] = w[c] * x[b,c,s] * r[b,s],   r[b,s] = 1 / sqrt(mean_c x[b,c,s]^2 + eps)
///
/// @param y  [B, C, S] out, fp32 or fp16. May be x itself when both are fp32, else no overlap.
/// @throws ShapeError  if a buffer's length does not match `shape`, or C is 0.
///
/// Sums over C are kept in fp64, the rest is fp32. Bit-identical for any number of threads.
/// Source: Zhang & Sennrich 2019, arXiv:1910.07467.
void rmsnorm_forward(Floats y, ConstFloats x, std::span<const float> w,
                     const ActivationShape& shape, float eps);

struct RmsnormBackwardOptions {
  float eps = 1e-5F;
  bool accumulate_dx = false;  ///< dx += instead of dx =, for a residual stream's gradient.
  float dw_scale = 1.0F;       ///< Factor on what is added to dw, to undo a loss scale.
};

/// Gradient of rmsnorm_forward. Recomputes r from x, so that nothing is saved in between.
///
/// With g[b,c,s] = w[c] * dy[b,c,s]:
///
///   dx[b,c,s]  = r[b,s] * (g[b,c,s] - x[b,c,s] * r[b,s]^2 / C * sum_k g[b,k,s] * x[b,k,s])
///   dw[c]     += dw_scale * sum_{b,s} dy[b,c,s] * x[b,c,s] * r[b,s]
///
/// @param dx  [B, C, S] out, fp32 or fp16, overwritten or added to. May not overlap any input.
/// @param dw  [C] in/out, accumulated so that micro-batches add up. Not thread-safe.
/// @throws ShapeError  if a buffer's length does not match `shape`, or C is 0.
///
/// Sums over C and over positions are kept in fp64. Bit-identical for any number of threads.
/// Checked in tests/train/test_rmsnorm.py.
void rmsnorm_backward(Floats dx, std::span<float> dw, ConstFloats dy, ConstFloats x,
                      std::span<const float> w, const ActivationShape& shape,
                      const RmsnormBackwardOptions& options);

}  // namespace pyane
