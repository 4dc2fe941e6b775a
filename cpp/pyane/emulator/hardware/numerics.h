#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include "pyane/chip/profile.h"

// The engine's own arithmetic as numbers and choices. What is measured, what is a fit to
// measurements and what is merely a choice is said in docs/numerics.md.

namespace pyane::emulator::hardware {

/// How a matrix product adds up.
enum class Accumulator : std::uint8_t {
  /// Groups of four terms, added one after the other by an adder that aligns both operands to the
  /// 12-bit grid of the larger and keeps no guard bits; group sums into a wide register. Reproduces
  /// every vector that was published for M1 (a fit: it was found by search among such models).
  kFourLanes,
  /// Fixed point with 15 integer and 16 fraction bits, as another study read it from M4 and M6.
  kFixedPoint,
  /// Exact sums: what a reference with one rounding at the end computes.
  kExact,
};

/// What becomes of the bits that the alignment shifts out. The published vectors fit all three.
enum class Alignment : std::uint8_t { kTruncate, kFloor, kNearestEven };

/// Everything the kernels of this folder need to know about a chip.
struct Numerics {
  // Matrix products: matmul, linear, conv and what is lowered to them.
  Accumulator accumulator = Accumulator::kFourLanes;
  Alignment alignment = Alignment::kTruncate;
  /// Significant bits of the register that takes the group sums, truncating towards zero; 0: as
  /// many as needed. For studies of the error of long sums.
  int accumulator_bits = 0;
  /// Round every product to fp16 before it is added.
  bool rounds_products = false;
  /// Magnitudes from here on become infinite and stay so, within the sum and at its end.
  double mac_ceiling = std::numeric_limits<double>::infinity();
  /// Products below 2^-14 count as zero.
  bool flushes_mac_denormals = false;
  /// Ties of the final rounding go away from zero; else to even.
  bool rounds_ties_away = false;
  /// reduce_sum and its relatives add up as products with one do, without the ceiling.
  bool reduces_by_lanes = true;

  /// Activations of products with int8 weights beyond this magnitude become infinite.
  double int8_activation_ceiling = std::numeric_limits<double>::infinity();
  /// Values beyond this magnitude become infinite in a slice that begins inside the last axis.
  double width_slice_ceiling = std::numeric_limits<double>::infinity();

  /// Activations from tables of 33 knots; else correctly rounded.
  bool uses_tables = true;
  double log_of_zero = -45440.0;
  bool softplus_of_infinity_is_zero = true;  ///< softsign, too.

  /// Arithmetic is IEEE after all, and only what slices do to large values is the engine's.
  bool is_ieee = false;

  friend bool operator==(const Numerics&, const Numerics&) = default;
};

/// What a chip does.
Numerics numerics_of(const chip::Profile& profile);

/// Names as options and profiles spell them: "lanes4", "q15.16", "exact"; "truncate", "floor",
/// "nearest-even". nullopt for others.
std::optional<Accumulator> accumulator_from_name(std::string_view name);
std::optional<Alignment> alignment_from_name(std::string_view name);

}  // namespace pyane::emulator::hardware
