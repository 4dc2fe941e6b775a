#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "pyane/base/half.h"

namespace pyane {

/// Elements [begin, end) of a flat parameter buffer.
struct Segment {
  std::size_t begin;
  std::size_t end;
};

/// Where elements [begin, begin + values.size()) are also wanted, rounded to fp16.
struct HalfSegment {
  std::size_t begin;
  std::span<half_bits> values;
};

struct AdamOptions {
  std::int64_t step = 1;  ///< Number of this update, from 1: enters the bias correction.
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
  /// Factor on every gradient: 1 / loss scale, 1 / accumulated micro-batches, and clipping at once.
  double grad_scale = 1.0;
  bool zero_grads = false;  ///< Leave the gradients 0 for the next step; saves a pass over them.
};

/// One step of AdamW over a flat buffer, in one pass. With g = grad_scale * grads, t = step:
///
///   m = beta1 * m + (1 - beta1) * g
///   v = beta2 * v + (1 - beta2) * g^2
///   params -= learning_rate * (weight_decay * params                       (decayed segments only)
///                              + m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps))
///
/// @param params, grads, m, v  [n] each, no overlap. grads are written only with zero_grads.
/// @param decayed  Segments that weight_decay applies to, ascending and disjoint.
/// @param halves  Copies of the new parameters for a device, ascending and disjoint, in memory of
///                their own: made while these are in the caches, which saves a pass over them.
/// @throws ShapeError  if lengths differ, `decayed` or `halves` are not ascending, disjoint and
///                     inside [0, n), or an option is out of range (step < 1, betas outside
///                     [0, 1), eps or weight_decay negative, anything not finite). Nothing has
///                     been changed then.
///
/// Factors are computed in fp64 and rounded once to fp32, like the elements. Bit-identical for any
/// number of threads. Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2 with the
/// schedule multiplier in learning_rate; weight decay is multiplied by it, as in PyTorch.
void adam_update(std::span<float> params, std::span<float> grads, std::span<float> m,
                 std::span<float> v, std::span<const Segment> decayed, const AdamOptions& options,
                 std::span<const HalfSegment> halves = {});

/// sqrt(sum of squares), summed in fp64: not finite exactly when an element is not. Bit-identical
/// for any number of threads.
double global_norm(std::span<const float> grads);

/// Multiplies by `scale` in one pass.
/// @return false if an element was, or became, NaN or infinite.
bool unscale(std::span<float> grads, float scale);

/// True if an element is NaN or infinite.
bool has_nonfinite(std::span<const float> values);

}  // namespace pyane
