#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

// Logits are [N, V], V contiguous, N = B * S in the order of the tokens: one position's 32000
// logits stay in cache from the maximum to the gradient, and the last position's are one span.

namespace pyane {

struct CrossEntropy {
  double loss_sum = 0.0;      ///< Over counted targets, in nats.
  std::size_t n_counted = 0;  ///< Targets >= 0.

  /// 0 when no target counts.
  double mean() const { return n_counted == 0 ? 0.0 : loss_sum / static_cast<double>(n_counted); }
};

/// Negative log-likelihood of targets under softmax(logits).
///
/// @param logits   [N, V]
/// @param targets  [N]; a negative target is ignored.
/// @throws ShapeError  if V is 0, a length does not match, or a target is V or more.
///
/// exp in fp32 (vector_math.h), the sum over V in blocks of fp32 then fp64, the loss in fp64. A NaN
/// or +inf logit gives a NaN loss. Bit-identical for any number of threads.
CrossEntropy cross_entropy_forward(std::span<const float> logits,
                                   std::span<const std::int32_t> targets, std::size_t vocab_size);

/// The same, and replaces the logits by the gradient of gradient_scale * mean loss:
///
///   dlogits[n,v] = gradient_scale / n_counted * (softmax(logits[n])[v] - [v == targets[n]])
///
/// Rows of ignored targets become 0.
CrossEntropy cross_entropy_forward_backward(std::span<float> logits,
                                            std::span<const std::int32_t> targets,
                                            std::size_t vocab_size, float gradient_scale);

}  // namespace pyane
