#pragma once

#include <memory>

#include "pyane/emulator/kernels/registry.h"

namespace pyane::emulator::hardware {

/// reduce_sum, reduce_mean, reduce_l1_norm, reduce_l2_norm, reduce_sum_square of floating-point x:
/// sums in the order and with the adder of matrix products, without their ceiling. Other element
/// types, and accumulators other than lanes4, as IEEE. Contiguous tensors.
std::unique_ptr<Step> prepare_reduction(const PrepareContext& context);

/// softmax, which subtracts the largest element also where that is infinite.
std::unique_ptr<Step> prepare_softmax(const PrepareContext& context);

}  // namespace pyane::emulator::hardware
