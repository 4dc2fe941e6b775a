#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <unordered_map>
#include <vector>

#include "pyane/chip/function_view.h"

namespace pyane::chip {

/// Elements lie in [low, high], in exact arithmetic, for every finite input. Infinite ends: nothing
/// is known on that side.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();

  double magnitude() const { return std::fmax(std::fabs(low), std::fabs(high)); }
  bool is_bounded() const { return std::isfinite(magnitude()); }
  /// No element of the other sign.
  bool has_one_sign() const { return low >= 0 || high <= 0; }
};

/// What is worth knowing of a floating-point constant.
struct ConstantSummary {
  Range range;  ///< Of the finite elements; empty constants do not exist.
  std::int64_t n_elements = 0;
  std::int64_t n_not_finite = 0;
  std::int64_t n_beyond_fp16 = 0;     ///< Finite, magnitude >= 65520: infinite in fp16.
  std::int64_t n_subnormal_fp16 = 0;  ///< Nonzero, magnitude < 2^-14.
  std::int64_t n_negative_zero = 0;
};

/// Interval arithmetic over a function, one pass. Bounds come from constants (weight files
/// included), clip, relu6, sigmoid, tanh, softmax and the like; sums of products take
/// magnitude(x) * magnitude(w) * terms.
/// An operation that is not known here, or a parameter, is unbounded.
class RangeAnalysis {
 public:
  explicit RangeAnalysis(const FunctionView& function);
  Range of(const InputView& input) const;
  Range of(int value) const { return values_[static_cast<std::size_t>(value)]; }
  /// nullptr for a constant that is not floating-point, not known, or past the budget of elements
  /// that are looked at.
  const ConstantSummary* summary(const mil::Literal& literal) const;

 private:
  Range compute(const OpView& op, std::size_t output) const;
  Range product(const OpView& op) const;
  Range expanded(const OpView& op) const;

  const FunctionView& function_;
  std::vector<Range> values_;
  mutable std::unordered_map<const mil::Literal*, ConstantSummary> summaries_;
  mutable std::int64_t elements_left_ = std::int64_t{1} << 28;
};

/// Extent that a matmul, linear or conv sums over; 0 when unknown or another operation.
std::int64_t contracted_extent(const FunctionView& function, const OpView& op);

}  // namespace pyane::chip
