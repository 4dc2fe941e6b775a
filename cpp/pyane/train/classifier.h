#pragma once

#include <span>

#include "pyane/train/activations.h"

// The classifier works on one [B, C, S] batch of fp32 activations at a time; its logits are [N, V]
// with N = B * S (cross_entropy.h). W is [V, C], the embedding table when the two are tied.
//
// fp32 throughout, on all threads; results do not depend on their number (linalg/product.h).

namespace pyane {

/// logits[b*S + s, v] = sum_c x[b,c,s] * w[v,c]; V = w.size() / C.
///
/// @param logits  [N, V] out, overwritten.
/// @throws ShapeError  if a length does not match `shape`.
void classifier_forward(std::span<float> logits, std::span<const float> x, std::span<const float> w,
                        const ActivationShape& shape);

/// dx[b,c,s] = sum_v w[v,c] * dlogits[b*S + s, v]
///
/// @param dx  [B, C, S] out, overwritten.
/// @throws ShapeError  if a length does not match `shape`.
///
/// The sum over V runs in chunks of 2048 that are added in order.
void classifier_backward(std::span<float> dx, std::span<const float> dlogits,
                         std::span<const float> w, const ActivationShape& shape);

/// dw[v,c] += scale * sum_{b,s} dlogits[b*S + s, v] * x[b,c,s]
///
/// @param dw  [V, C] in/out.
/// @throws ShapeError  if a length does not match `shape`.
///
/// WeightGradientQueue does the same asynchronously.
void classifier_weight_gradient(std::span<float> dw, std::span<const float> dlogits,
                                std::span<const float> x, const ActivationShape& shape,
                                float scale);

}  // namespace pyane
