#include "pyane/train/cross_entropy.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/base/thread_pool.h"
#include "pyane/train/activations.h"
#include "pyane/train/vector_math.h"

namespace pyane {
namespace {

/// fp32 sums of exponentials run over this many logits before they go to fp64.
constexpr std::size_t kSumBlock = 1024;

/// Rows of a small vocabulary are handed out several at a time, this many logits or more.
constexpr std::size_t kTaskLogits = 16384;

PYANE_INLINE inline float row_maximum(const float* row, std::size_t n) {
  float lanes[kLanes];
  for (float& lane : lanes) lane = -std::numeric_limits<float>::infinity();
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::size_t l = 0; l < kLanes; ++l) {
      lanes[l] = row[i + l] > lanes[l] ? row[i + l] : lanes[l];
    }
  }
  for (std::size_t l = 0; i + l < n; ++l) lanes[l] = row[i + l] > lanes[l] ? row[i + l] : lanes[l];
  for (std::size_t width = kLanes / 2; width != 0; width /= 2) {
    for (std::size_t l = 0; l < width; ++l) {
      lanes[l] = lanes[l + width] > lanes[l] ? lanes[l + width] : lanes[l];
    }
  }
  return lanes[0];
}

/// Sum of exp(row - maximum); kStore leaves the exponentials in the row.
template <bool kStore, typename T>
PYANE_INLINE inline double exponentials(T* row, std::size_t n, float maximum) {
  double sum = 0.0;
  for (std::size_t begin = 0; begin < n; begin += kSumBlock) {
    T* block = row + begin;
    const std::size_t count = std::min(kSumBlock, n - begin);
    float lanes[kLanes] = {};
    std::size_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      for (std::size_t l = 0; l < kLanes; ++l) {
        const float e = exp_nonpositive(block[i + l] - maximum);
        if constexpr (kStore) block[i + l] = e;
        lanes[l] += e;
      }
    }
    for (std::size_t l = 0; i + l < count; ++l) {
      const float e = exp_nonpositive(block[i + l] - maximum);
      if constexpr (kStore) block[i + l] = e;
      lanes[l] += e;
    }
    sum += sum_lanes(lanes);
  }
  return sum;
}

/// The softmax of one row, relative to its maximum. The target is kept out of the sum: when it has
/// nearly all the probability, 1 - p and the loss would otherwise be lost in fp32's rounding of p.
struct RowSums {
  double others;  ///< Sum of exp(logit - maximum) over all but the target.
  double target;  ///< exp(target logit - maximum)
  double loss;
};

template <bool kStore, typename T>
PYANE_INLINE inline RowSums row_sums(T* row, std::size_t n, std::size_t target) {
  const float maximum = row_maximum(row, n);
  const double below = static_cast<double>(row[target]) - maximum;
  const double others = exponentials<kStore>(row, target, maximum) +
                        exponentials<kStore>(row + target + 1, n - target - 1, maximum);
  const double e = std::exp(below);
  const double loss = below == 0.0 ? std::log1p(others) : std::log(e + others) - below;
  return {.others = others, .target = e, .loss = loss};
}

double row_loss(const float* row, std::size_t n, std::size_t target) {
  double loss = 0.0;
  vectorized([&]() PYANE_INLINE { loss = row_sums<false>(row, n, target).loss; });
  return loss;
}

double row_loss_and_gradient(float* row, std::size_t n, std::size_t target, float scale) {
  double loss = 0.0;
  vectorized([&]() PYANE_INLINE {
    const RowSums sums = row_sums<true>(row, n, target);
    loss = sums.loss;
    const double factor = scale / (sums.target + sums.others);
    const auto factor32 = static_cast<float>(factor);
    for (std::size_t i = 0; i < n; ++i) row[i] *= factor32;
    row[target] = static_cast<float>(-sums.others * factor);
  });
  return loss;
}

std::size_t check(const char* where, std::size_t n_logits, std::span<const std::int32_t> targets,
                  std::size_t vocab_size) {
  const std::string name = where;
  if (vocab_size == 0 ||
      vocab_size > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw ShapeError(name + ": V must be in [1, 2^31), got " + std::to_string(vocab_size));
  }
  if (n_logits % vocab_size != 0 || n_logits / vocab_size != targets.size()) {
    throw ShapeError(name + ": logits must have " + std::to_string(targets.size()) + " * " +
                     std::to_string(vocab_size) + " elements [N, V], got " +
                     std::to_string(n_logits));
  }
  std::size_t n_counted = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] < 0) continue;
    if (static_cast<std::size_t>(targets[i]) >= vocab_size) {
      throw ShapeError("cross_entropy: target " + std::to_string(targets[i]) + " at position " +
                       std::to_string(i) + " is outside [0, " + std::to_string(vocab_size) + ")");
    }
    ++n_counted;
  }
  return n_counted;
}

/// body(n) for every row; the split depends on the shape only.
template <typename Body>
void for_each_row(std::size_t n_rows, std::size_t vocab_size, const Body& body) {
  const std::size_t rows = std::max<std::size_t>(1, kTaskLogits / vocab_size);
  const std::chrono::nanoseconds work(n_rows * vocab_size / 2);
  parallel_for((n_rows + rows - 1) / rows, work, [&](std::size_t task) {
    const std::size_t end = std::min(n_rows, (task + 1) * rows);
    for (std::size_t i = task * rows; i < end; ++i) body(i);
  });
}

double sum_in_order(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) sum += value;
  return sum;
}

}  // namespace

CrossEntropy cross_entropy_forward(std::span<const float> logits,
                                   std::span<const std::int32_t> targets, std::size_t vocab_size) {
  const std::size_t n_counted = check("cross_entropy_forward", logits.size(), targets, vocab_size);
  std::vector<double> losses(targets.size());
  for_each_row(targets.size(), vocab_size, [&](std::size_t i) {
    if (targets[i] < 0) return;
    losses[i] =
        row_loss(logits.data() + i * vocab_size, vocab_size, static_cast<std::size_t>(targets[i]));
  });
  return {.loss_sum = sum_in_order(losses), .n_counted = n_counted};
}

CrossEntropy cross_entropy_forward_backward(std::span<float> logits,
                                            std::span<const std::int32_t> targets,
                                            std::size_t vocab_size, float gradient_scale) {
  const std::size_t n_counted =
      check("cross_entropy_forward_backward", logits.size(), targets, vocab_size);
  const float scale = n_counted == 0 ? 0.0F : gradient_scale / static_cast<float>(n_counted);
  std::vector<double> losses(targets.size());
  for_each_row(targets.size(), vocab_size, [&](std::size_t i) {
    float* row = logits.data() + i * vocab_size;
    if (targets[i] < 0) {
      std::fill_n(row, vocab_size, 0.0F);
      return;
    }
    losses[i] = row_loss_and_gradient(row, vocab_size, static_cast<std::size_t>(targets[i]), scale);
  });
  return {.loss_sum = sum_in_order(losses), .n_counted = n_counted};
}

}  // namespace pyane
