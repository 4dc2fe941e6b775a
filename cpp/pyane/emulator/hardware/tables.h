#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace pyane::emulator::hardware {

/// An activation as the engine evaluates it: knots at the ends of 32 equal segments, straight lines
/// in between, the last knots (or lines) beyond them.
///
/// The engine's own knots are not published; these are made to give what is: the form, the domain
/// of sigmoid, the largest error and the value at zero (docs/numerics.md, which says what is a
/// fit).
class ActivationTable {
 public:
  static constexpr std::size_t kSegments = 32;

  struct Form {
    double low = 0.0;
    double high = 0.0;
    /// How far knots lie inside the curve, as a part of the largest distance between the curve and
    /// its chord: 0 on the curve, 0.5 where errors at the knots and between them are equal.
    double inset = 0.0;
    /// f(-x) = -f(x) by way of |x|.
    bool is_odd = false;
    /// Beyond the domain the result is 0 below and x above, rather than the last knot.
    bool has_tails = false;
  };

  ActivationTable(double (*function)(double), const Form& form);

  /// Before rounding to fp16. `x` may be infinite.
  double operator()(double x) const;
  const std::array<double, kSegments + 1>& knots() const { return knots_; }
  const Form& form() const { return form_; }

 private:
  double at_magnitude(double x) const;

  Form form_;
  std::array<double, kSegments + 1> knots_{};  ///< fp16 numbers.
};

/// The table of a MIL operation (gelu, sigmoid, silu, tanh); nullptr for others.
const ActivationTable* find_table(std::string_view op);

}  // namespace pyane::emulator::hardware
