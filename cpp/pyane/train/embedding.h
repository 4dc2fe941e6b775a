#pragma once

#include <cstdint>
#include <span>

#include "pyane/train/activations.h"

namespace pyane {

/// x[b,c,s] = table[tokens[b,s], c]
///
/// @param x       [B, C, S] out, fp32 or fp16 (rounded half to even).
/// @param table   [V, C]
/// @param tokens  [B, S]
/// @throws ShapeError  if a length does not match `shape`, or a token is outside [0, V); x is then
///                     untouched.
void embedding_forward(Floats x, std::span<const float> table, std::span<const std::int32_t> tokens,
                       const ActivationShape& shape);

/// dtable[tokens[b,s], c] += scale * dx[b,c,s], in the order of positions for every c: the sums do
/// not depend on the number of threads.
///
/// @param dtable  [V, C] in/out. Not while a weight-gradient job still adds to it (tied
/// classifier).
/// @param dx      [B, C, S], fp32 or fp16.
/// @param scale   Undoes a loss scale.
/// @throws ShapeError  as embedding_forward; dtable is then untouched.
void embedding_backward(std::span<float> dtable, ConstFloats dx,
                        std::span<const std::int32_t> tokens, const ActivationShape& shape,
                        float scale);

}  // namespace pyane
