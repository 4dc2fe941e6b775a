#include "pyane/train/adam.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <string>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/base/thread_pool.h"
#include "pyane/train/activations.h"
#include "pyane/train/vectorize.h"

namespace pyane {
namespace {

/// Elements of one task: 64 KiB per buffer, so that the sums of a task fit its place in a pass over
/// memory and the split does not depend on the threads.
constexpr std::size_t kTaskElements = 16384;

std::size_t task_count(std::size_t n) { return (n + kTaskElements - 1) / kTaskElements; }

/// The options of one step as fp32 factors.
struct Factors {
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float step_size;           // learning_rate / (1 - beta1^t)
  float inverse_correction;  // 1 / sqrt(1 - beta2^t)
  float eps;
  float grad_scale;
};

Factors make_factors(const AdamOptions& options) {
  const auto t = static_cast<double>(options.step);
  const double correction1 = 1.0 - std::pow(options.beta1, t);
  const double correction2 = 1.0 - std::pow(options.beta2, t);
  // 1 - 0.999 in fp32 would be off by 1e-5.
  return {.beta1 = static_cast<float>(options.beta1),
          .one_minus_beta1 = static_cast<float>(1.0 - options.beta1),
          .beta2 = static_cast<float>(options.beta2),
          .one_minus_beta2 = static_cast<float>(1.0 - options.beta2),
          .step_size = static_cast<float>(options.learning_rate / correction1),
          .inverse_correction = static_cast<float>(1.0 / std::sqrt(correction2)),
          .eps = static_cast<float>(options.eps),
          .grad_scale = static_cast<float>(options.grad_scale)};
}

/// @param keep  What is left of a parameter by weight decay, 1 without.
void update(float* params, float* grads, float* m, float* v, std::size_t n, const Factors& factors,
            float keep, bool zero_grads) {
  vectorized([&]() PYANE_INLINE {
    const Factors f = factors;
    float* __restrict p_ = params;
    float* __restrict g_ = grads;
    float* __restrict m_ = m;
    float* __restrict v_ = v;
    for (std::size_t i = 0; i < n; ++i) {
      const float g = g_[i] * f.grad_scale;
      const float new_m = f.beta1 * m_[i] + f.one_minus_beta1 * g;
      const float new_v = f.beta2 * v_[i] + f.one_minus_beta2 * (g * g);
      m_[i] = new_m;
      v_[i] = new_v;
      p_[i] =
          p_[i] * keep - f.step_size * new_m / (std::sqrt(new_v) * f.inverse_correction + f.eps);
    }
    if (zero_grads) {
      for (std::size_t i = 0; i < n; ++i) g_[i] = 0.0F;
    }
  });
}

void check_range(bool ok, const char* name, const char* rule, double got) {
  if (ok) return;
  throw ShapeError(std::string("adam_update: ") + name + " must be " + rule + ", got " +
                   std::to_string(got));
}

void check(std::size_t n, std::span<const HalfSegment> halves) {
  std::size_t previous_end = 0;
  for (const HalfSegment& segment : halves) {
    if (segment.begin < previous_end || segment.begin > n ||
        segment.values.size() > n - segment.begin) {
      throw ShapeError("adam_update: halves must be ascending, disjoint and inside [0, " +
                       std::to_string(n) + "), got " + std::to_string(segment.values.size()) +
                       " elements from " + std::to_string(segment.begin) + " on after " +
                       std::to_string(previous_end));
    }
    previous_end = segment.begin + segment.values.size();
  }
}

/// Rounds what `halves` want of params [begin, end).
void round(const float* params, std::size_t begin, std::size_t end,
           std::span<const HalfSegment> halves) {
  auto segment = std::upper_bound(
      halves.begin(), halves.end(), begin,
      [](std::size_t at, const HalfSegment& s) { return at < s.begin + s.values.size(); });
  for (; segment != halves.end() && segment->begin < end; ++segment) {
    const std::size_t from = std::max(begin, segment->begin);
    const std::size_t to = std::min(end, segment->begin + segment->values.size());
    float_to_half(params + from, segment->values.data() + (from - segment->begin), to - from);
  }
}

void check(std::size_t n, std::span<const Segment> decayed, const AdamOptions& options) {
  check_range(options.step >= 1, "step", "at least 1", static_cast<double>(options.step));
  check_range(std::isfinite(options.learning_rate), "learning_rate", "finite",
              options.learning_rate);
  check_range(options.beta1 >= 0 && options.beta1 < 1, "beta1", "in [0, 1)", options.beta1);
  check_range(options.beta2 >= 0 && options.beta2 < 1, "beta2", "in [0, 1)", options.beta2);
  check_range(options.eps >= 0 && std::isfinite(options.eps), "eps", "finite and not negative",
              options.eps);
  check_range(options.weight_decay >= 0 && std::isfinite(options.weight_decay), "weight_decay",
              "finite and not negative", options.weight_decay);
  check_range(std::isfinite(options.grad_scale), "grad_scale", "finite", options.grad_scale);
  std::size_t previous_end = 0;
  for (const Segment& segment : decayed) {
    if (segment.begin < previous_end || segment.begin > segment.end || segment.end > n) {
      throw ShapeError("adam_update: decayed segments must be ascending, disjoint and inside [0, " +
                       std::to_string(n) + "), got [" + std::to_string(segment.begin) + ", " +
                       std::to_string(segment.end) + ") after " + std::to_string(previous_end));
    }
    previous_end = segment.end;
  }
}

}  // namespace

void adam_update(std::span<float> params, std::span<float> grads, std::span<float> m,
                 std::span<float> v, std::span<const Segment> decayed, const AdamOptions& options,
                 std::span<const HalfSegment> halves) {
  check_size("adam_update", "grads", "[n]", grads.size(), params.size());
  check_size("adam_update", "m", "[n]", m.size(), params.size());
  check_size("adam_update", "v", "[n]", v.size(), params.size());
  check(params.size(), decayed, options);
  check(params.size(), halves);
  const Factors factors = make_factors(options);
  const auto decayed_keep = static_cast<float>(1.0 - options.learning_rate * options.weight_decay);
  parallel_for(
      task_count(params.size()), std::chrono::nanoseconds(params.size()), [&](std::size_t task) {
        std::size_t begin = task * kTaskElements;
        const std::size_t task_end = std::min(params.size(), begin + kTaskElements);
        // The first segment that ends after this task begins; from there on runs alternate.
        auto segment =
            std::upper_bound(decayed.begin(), decayed.end(), begin,
                             [](std::size_t at, const Segment& s) { return at < s.end; });
        while (begin < task_end) {
          while (segment != decayed.end() && segment->end <= begin) ++segment;
          const bool inside = segment != decayed.end() && segment->begin <= begin;
          std::size_t end = task_end;
          if (segment != decayed.end()) {
            end = std::min(task_end, inside ? segment->end : segment->begin);
          }
          update(params.data() + begin, grads.data() + begin, m.data() + begin, v.data() + begin,
                 end - begin, factors, inside ? decayed_keep : 1.0F, options.zero_grads);
          begin = end;
        }
        round(params.data(), task * kTaskElements, task_end, halves);
      });
}

double global_norm(std::span<const float> grads) {
  std::vector<double> sums(task_count(grads.size()));
  parallel_for(sums.size(), std::chrono::nanoseconds(grads.size() / 4), [&](std::size_t task) {
    const float* values = grads.data() + task * kTaskElements;
    const std::size_t n = std::min(kTaskElements, grads.size() - task * kTaskElements);
    vectorized([&]() PYANE_INLINE {
      double lanes[kLanes] = {};
      std::size_t i = 0;
      for (; i + kLanes <= n; i += kLanes) {
        for (std::size_t l = 0; l < kLanes; ++l) {
          const double value = values[i + l];
          lanes[l] += value * value;
        }
      }
      for (std::size_t l = 0; i + l < n; ++l) {
        const double value = values[i + l];
        lanes[l] += value * value;
      }
      sums[task] = sum_lanes(lanes);
    });
  });
  double sum = 0.0;
  for (const double part : sums) sum += part;
  return std::sqrt(sum);
}

bool unscale(std::span<float> grads, float scale) {
  std::vector<std::uint32_t> bad(task_count(grads.size()));
  parallel_for(bad.size(), std::chrono::nanoseconds(grads.size() / 4), [&](std::size_t task) {
    float* values = grads.data() + task * kTaskElements;
    const std::size_t n = std::min(kTaskElements, grads.size() - task * kTaskElements);
    vectorized([&]() PYANE_INLINE {
      std::uint32_t any = 0;
      for (std::size_t i = 0; i < n; ++i) {
        values[i] *= scale;
        // Exponent all ones, i.e. infinite or NaN. A scale of 0 makes NaN of infinity.
        any |= (std::bit_cast<std::uint32_t>(values[i]) & 0x7F800000U) == 0x7F800000U ? 1U : 0U;
      }
      bad[task] = any;
    });
  });
  return std::none_of(bad.begin(), bad.end(), [](std::uint32_t any) { return any != 0; });
}

bool has_nonfinite(std::span<const float> values) {
  std::vector<std::uint32_t> bad(task_count(values.size()));
  parallel_for(bad.size(), std::chrono::nanoseconds(values.size() / 8), [&](std::size_t task) {
    const float* part = values.data() + task * kTaskElements;
    const std::size_t n = std::min(kTaskElements, values.size() - task * kTaskElements);
    vectorized([&]() PYANE_INLINE {
      std::uint32_t any = 0;
      for (std::size_t i = 0; i < n; ++i) {
        any |= (std::bit_cast<std::uint32_t>(part[i]) & 0x7F800000U) == 0x7F800000U ? 1U : 0U;
      }
      bad[task] = any;
    });
  });
  return std::any_of(bad.begin(), bad.end(), [](std::uint32_t any) { return any != 0; });
}

}  // namespace pyane
