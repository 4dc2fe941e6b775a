#pragma once

#include <cstddef>
#include <cstdint>

#include "pyane/emulator/hardware/numerics.h"

namespace pyane::emulator::hardware {

/// Rounds to the nearest fp16 value, ties to even or away from zero; too large becomes infinite,
/// subnormals are kept.
double round_to_half(double value, bool ties_away);

/// The definition of a sum of products on the engine, one term after the other; slow. Operands are
/// fp16 values, held in fp32, without NaN.
///
/// Infinity is sticky: the first one to appear is the result. 0 * infinity is 0.
class Accumulation {
 public:
  /// @param start  Where the register starts: the bias, for the fixed-point form; else 0.
  explicit Accumulation(const Numerics& numerics, double start = 0.0);
  /// Adds x * w. Four calls make a group; `finish` fills up the last one with zeros.
  void add(float x, float w);
  /// The sum before its rounding.
  double finish();

 private:
  void close_group();
  double product(float x, float w) const;
  void note(double partial);

  const Numerics& numerics_;
  double register_;
  double group_ = 0.0;
  double infinity_ = 0.0;  ///< The sticky one; 0: none yet.
  int lane_ = 0;
};

/// Result of a product from its sum: bias added, ceiling applied, rounded to fp16.
double finish_product(const Numerics& numerics, double sum, double bias);

/// Columns worked on together.
inline constexpr std::size_t kLanes = 16;

/// Sums of one row with kLanes columns by the four-lane model with alignment by truncation and an
/// unbounded register: the same numbers as Accumulation, vectorised.
///
/// @param x  [n_k] finite fp16 values, n_k a multiple of 4.
/// @param w  [n_k][kLanes] finite fp16 values.
/// @param sums  [kLanes] out.
/// @param partials  [kLanes] out: largest magnitude of any partial sum. Where it reaches the
///   ceiling the sum is not what the engine gives, and Accumulation must be asked.
void sum_columns(const float* x, const float* w, std::size_t n_k, bool flushes_denormals,
                 double* sums, float* partials);

}  // namespace pyane::emulator::hardware
