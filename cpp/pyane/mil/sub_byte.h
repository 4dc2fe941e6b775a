#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "pyane/base/dtype.h"

// Integers of 1, 2, 3, 4 and 6 bits as weight files pack them: element i takes the bits from
// i * width on, counted from the low bit of the first byte, across byte borders.
// Source: apple/coremltools mlmodel/src/MILBlob/SubByteTypes.cpp (BSD-3), read for facts.

namespace pyane::mil {

/// uint1, uint2, uint3, uint4, uint6, int4.
bool is_sub_byte(DType dtype);

/// Bytes that `n` elements of `dtype` take in a weight file.
std::uint64_t packed_bytes(DType dtype, std::uint64_t n);

/// One byte per element; int4 is sign-extended.
/// @param packed  At least packed_bytes(dtype, target.size()).
void unpack(std::span<const std::byte> packed, DType dtype, std::span<std::byte> target);

/// The inverse; spare bits of the last byte become zero. Only the low bits of each element count.
/// @param target  At least packed_bytes(dtype, source.size()).
void pack(std::span<const std::byte> source, DType dtype, std::span<std::byte> target);

}  // namespace pyane::mil
