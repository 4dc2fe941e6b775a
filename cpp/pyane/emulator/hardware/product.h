#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>

#include "pyane/emulator/hardware/numerics.h"

namespace pyane::linalg {
struct GemmSpec;
}  // namespace pyane::linalg

namespace pyane::emulator {
struct PrepareContext;
}  // namespace pyane::emulator

namespace pyane::emulator::hardware {

/// What a matrix product on the engine needs to know besides linalg::GemmSpec.
struct MacUnit {
  Numerics numerics;
  /// Magnitudes beyond which elements of a or b become infinite.
  double a_ceiling = std::numeric_limits<double>::infinity();
  double b_ceiling = std::numeric_limits<double>::infinity();
};

/// The unit for an operation that multiplies matrices, to be put into emulator::GemmSpec::unit;
/// nullptr when it computes in IEEE arithmetic.
///
/// @param a, b  Which of the operation's operands are the sides of the product, as indices into
///   PrepareContext::inputs. A side whose other side is a weight of int8 is an activation with a
///   ceiling, in matmul and linear.
/// @param n_terms  Of each sum. A convolution with one term has no ceiling (ane-guide ch. 3).
std::shared_ptr<const MacUnit> mac_unit(const PrepareContext& context, std::size_t a, std::size_t b,
                                        std::int64_t n_terms);

/// Computes the products of `spec` as the engine adds up, every element in the order of k. Slow, on
/// the thread pool; the result does not depend on threads or blocking. fp32 operands are rounded to
/// fp16 first, the result is an fp16 number whatever its type: the engine computes in nothing else.
void multiply(const linalg::GemmSpec& spec, const MacUnit& unit, const void* a, const void* b,
              const void* bias, void* c);

}  // namespace pyane::emulator::hardware
