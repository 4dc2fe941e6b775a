#include "pyane/emulator/hardware/accumulator.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace pyane::emulator::hardware {
namespace {

/// Significant bits of the adder's grid.
constexpr int kGridBits = 12;
/// Smallest product that is not flushed.
constexpr double kSmallestNormal = 0x1p-14;
constexpr double kFixedPointUnit = 0x1p-16;
/// Products whose exponents add up to this or less are dropped by the fixed-point form.
constexpr int kDroppedExponent = -17;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double drop_bits(double value, Alignment alignment) {
  switch (alignment) {
    case Alignment::kFloor:
      return std::floor(value);
    case Alignment::kNearestEven:
      return std::nearbyint(value);
    case Alignment::kTruncate:
      break;
  }
  return std::trunc(value);
}

/// Both operands on the grid of the larger one, then added; the sum of two such numbers is exact.
double aligned_sum(double a, double b, Alignment alignment) {
  if (a == 0.0) return b;
  if (b == 0.0) return a;
  const int exponent = std::max(std::ilogb(a), std::ilogb(b));
  const double unit = std::ldexp(1.0, exponent - (kGridBits - 1));
  return (drop_bits(a / unit, alignment) + drop_bits(b / unit, alignment)) * unit;
}

double truncate_to_bits(double value, int bits) {
  if (bits == 0 || value == 0.0 || std::isinf(value)) return value;
  const double unit = std::ldexp(1.0, std::ilogb(value) - (bits - 1));
  return std::trunc(value / unit) * unit;
}

}  // namespace

double round_to_half(double value, bool ties_away) {
  if (value == 0.0 || !std::isfinite(value)) return value;
  constexpr int kSmallestExponent = -14;
  constexpr int kFractionBits = 10;
  const double unit =
      std::ldexp(1.0, std::max(std::ilogb(value), kSmallestExponent) - kFractionBits);
  const double steps = value / unit;  // Exact: a power of two.
  const double rounded = (ties_away ? std::round(steps) : std::nearbyint(steps)) * unit;
  constexpr double kLargest = 65504.0;
  return std::fabs(rounded) > kLargest ? std::copysign(kInfinity, value) : rounded;
}

Accumulation::Accumulation(const Numerics& numerics, double start)
    : numerics_(numerics), register_(start) {
  note(register_);
}

/// Takes the first partial sum that leaves the range, for good.
void Accumulation::note(double partial) {
  if (infinity_ == 0.0 && std::fabs(partial) >= numerics_.mac_ceiling) {
    infinity_ = std::copysign(kInfinity, partial);
  }
}

double Accumulation::product(float x, float w) const {
  if (x == 0.0F || w == 0.0F) return 0.0;
  double p = static_cast<double>(x) * static_cast<double>(w);
  if (std::isinf(p)) return p;
  if (numerics_.rounds_products) p = round_to_half(p, numerics_.rounds_ties_away);
  if (numerics_.flushes_mac_denormals && std::fabs(p) < kSmallestNormal) return 0.0;
  if (numerics_.accumulator == Accumulator::kFixedPoint) {
    if (std::ilogb(x) + std::ilogb(w) <= kDroppedExponent) return 0.0;
    p = std::trunc(p / kFixedPointUnit) * kFixedPointUnit;
  }
  return p;
}

void Accumulation::add(float x, float w) {
  const double p = product(x, w);
  if (std::isinf(p)) {
    if (infinity_ == 0.0) infinity_ = p;
    return;
  }
  if (numerics_.accumulator != Accumulator::kFourLanes) {
    register_ += p;
    note(register_);
    return;
  }
  group_ = lane_ == 0 ? p : aligned_sum(group_, p, numerics_.alignment);
  note(group_);
  if (++lane_ == 4) close_group();
}

void Accumulation::close_group() {
  register_ = truncate_to_bits(register_ + group_, numerics_.accumulator_bits);
  note(register_);
  group_ = 0.0;
  lane_ = 0;
}

double Accumulation::finish() {
  if (lane_ != 0) close_group();
  return infinity_ != 0.0 ? infinity_ : register_;
}

double finish_product(const Numerics& numerics, double sum, double bias) {
  double result = sum;
  if (!std::isinf(sum)) {
    result = round_to_half(sum + bias, numerics.rounds_ties_away);
    if (std::fabs(result) >= numerics.mac_ceiling) result = std::copysign(kInfinity, result);
  }
  return result + 0.0;  // -0 becomes +0.
}

void sum_columns(const float* x, const float* w, std::size_t n_k, bool flushes_denormals,
                 double* sums, float* partials) {
  // The same as aligned_sum, in terms that compilers vectorise: the products of fp16 numbers and
  // the sums of numbers on a 12-bit grid are exact in fp32, and the unit comes from exponent bits.
  constexpr std::uint32_t kExponentMask = 0x7F800000U;
  constexpr std::uint32_t kGridShift = static_cast<std::uint32_t>(kGridBits - 1) << 23;
  constexpr std::uint32_t kInverse = 254U << 23;  // 2^-e has the exponent field 254 - field(2^e).
  constexpr float kTiny = 0x1p-60F;               // Below any product; keeps the units normal.
  const float smallest = flushes_denormals ? static_cast<float>(kSmallestNormal) : 0.0F;

  std::array<double, kLanes> total{};
  std::array<float, kLanes> largest{};
  std::array<float, kLanes> group;
  for (std::size_t k = 0; k < n_k; k += 4) {
    for (std::size_t j = 0; j < kLanes; ++j) {
      const float p = x[k] * w[k * kLanes + j];
      group[j] = std::fabs(p) < smallest ? 0.0F : p;
      largest[j] = std::max(largest[j], std::fabs(group[j]));
    }
    for (std::size_t l = k + 1; l < k + 4; ++l) {
      const float* row = w + l * kLanes;
      for (std::size_t j = 0; j < kLanes; ++j) {
        const float product = x[l] * row[j];
        const float b = std::fabs(product) < smallest ? 0.0F : product;
        const float a = group[j];
        const float larger = std::max(std::max(std::fabs(a), std::fabs(b)), kTiny);
        const std::uint32_t unit =
            (std::bit_cast<std::uint32_t>(larger) & kExponentMask) - kGridShift;
        const auto inverse = std::bit_cast<float>(kInverse - unit);
        const auto steps =
            static_cast<std::int32_t>(a * inverse) + static_cast<std::int32_t>(b * inverse);
        const float aligned = static_cast<float>(steps) * std::bit_cast<float>(unit);
        const float sum = a == 0.0F ? b : (b == 0.0F ? a : aligned);
        group[j] = sum;
        largest[j] = std::max(largest[j], std::fabs(sum));
      }
    }
    for (std::size_t j = 0; j < kLanes; ++j) {
      total[j] += static_cast<double>(group[j]);
      largest[j] = std::max(largest[j], static_cast<float>(std::fabs(total[j])));
    }
  }
  std::copy(total.begin(), total.end(), sums);
  std::copy(largest.begin(), largest.end(), partials);
}

}  // namespace pyane::emulator::hardware
