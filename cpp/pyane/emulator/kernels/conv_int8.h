#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "pyane/emulator/kernels/registry.h"
#include "pyane/mil/verifier.h"

namespace pyane::emulator {

/// A convolution of integers: what conv is when its x is made by dequantize with one scale and zero
/// point, and its weight by constexpr_affine_dequantize, constexpr_blockwise_shift_scale or
/// dequantize out of constant int8 or uint8 numbers with one scale and zero point per output
/// channel or for all, no sum having more than 2^15 terms. Then
///
///   y = float(S) * float(scale_x * scale_w) + bias,  S = sum of (x - zero_x) * (w - zero_w)
///
/// with an exact S; the operations on floats are rounded to fp32, y once to its type. The values
/// dequantized in between are not rounded to fp16, and not made unless something else reads them
/// (docs/numerics.md).
///
/// Operands of the record: x, scale_x, zero_x, weight, scale_w, zero_w, bias.
const KernelRecord& int8_conv_record();

/// Operands of int8_conv_record() for `operation` when it is one; else empty.
///
/// @param producer_of  The operation that makes a value; nullptr: none of this unit.
template <typename ProducerOf>
std::vector<mil::ValueId> int8_conv_operands(const mil::VerifiedFunction& function,
                                             const mil::VerifiedOperation& operation,
                                             const ProducerOf& producer_of);

/// The same with what the template has looked up.
std::vector<mil::ValueId> int8_conv_operands(const mil::VerifiedFunction& function,
                                             const mil::VerifiedOperation& conv,
                                             const mil::VerifiedOperation* x,
                                             const mil::VerifiedOperation* weight);

template <typename ProducerOf>
std::vector<mil::ValueId> int8_conv_operands(const mil::VerifiedFunction& function,
                                             const mil::VerifiedOperation& operation,
                                             const ProducerOf& producer_of) {
  if (operation.record->name != "conv") return {};
  return int8_conv_operands(function, operation, producer_of(operation.find_input("x")->values[0]),
                            producer_of(operation.find_input("weight")->values[0]));
}

}  // namespace pyane::emulator
