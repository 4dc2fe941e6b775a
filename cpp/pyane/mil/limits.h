#pragma once

#include <cstddef>
#include <cstdint>

#include "pyane/mil/program.h"

// Bounds that keep hostile text from exhausting stack or memory. Real programs stay far below.

namespace pyane::mil {

/// Types within types, items within items, blocks within operations: together, at one place.
inline constexpr int kMaxNesting = 64;
/// Dimensions of one tensor. The engine takes 5.
inline constexpr std::size_t kMaxRank = 16;
/// Largest dimension, and most elements a declared tensor may have.
inline constexpr std::int64_t kMaxDimension = (std::int64_t{1} << 31) - 1;
inline constexpr std::int64_t kMaxElements = std::int64_t{1} << 40;
/// Every item of a list, tuple or dict carries a copy of its type, which the text writes once. All
/// copies in a program may take kMinTypeBytes and kTypeBytesPerItem for each item.
inline constexpr std::size_t kMinTypeBytes = std::size_t{1} << 20;
inline constexpr std::size_t kTypeBytesPerItem = 512;

/// Levels of nesting of a type, a literal, a block: 1 for one without parts.
int depth(const Type& type);
int depth(const Literal& literal);
int depth(const Block& block);

/// Memory of a type, its parts included.
std::size_t memory_bytes(const Type& type);

}  // namespace pyane::mil
