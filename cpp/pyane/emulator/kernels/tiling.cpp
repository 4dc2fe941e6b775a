#include "pyane/emulator/kernels/tiling.h"

#include <algorithm>
#include <utility>

#include "pyane/base/divide.h"
#include "pyane/emulator/kernels/tile.h"

namespace pyane::emulator {
namespace {

constexpr auto kLanes = static_cast<std::int64_t>(kSumLanes);
/// 4 KiB of fp16: several fit in the first-level cache, and what a tile costs besides its elements
/// does not show.
constexpr std::int64_t kTile = 2048;
/// A block of whole rows has no more of them, so that their lanes stay in the first-level cache.
constexpr std::int64_t kMaxRows = 64;
/// Elements that one thread takes at a time.
constexpr std::int64_t kChunk = 1 << 14;

}  // namespace

Tiling::Tiling(std::span<const TensorLayout> tensors, int axis) : space_(tensors, axis) {
  const int along = space_.axis;
  if (axis < 0) {
    split_elements();
  } else if (along == space_.rank - 1) {
    kind_ = Kind::kInner;
    length_ = dim(along);
    split_inner();
  } else {
    kind_ = Kind::kOuter;
    length_ = dim(along);
    // The order of the other dimensions does not matter: rows are to lie along the axis.
    for (auto i = static_cast<std::size_t>(along); i + 2 < static_cast<std::size_t>(space_.rank);
         ++i) {
      std::swap(space_.dims[i], space_.dims[i + 1]);
      for (auto& strides : space_.strides) std::swap(strides[i], strides[i + 1]);
    }
    split_outer();
  }
}

void Tiling::split_elements() {
  const std::int64_t inner = space_.inner();
  const std::int64_t n_rows = space_.n_rows();
  if (inner >= kTile) {
    block_columns_ = kTile;
    blocks_per_row_ = divide_up(inner, block_columns_);
    n_blocks_ = n_rows * blocks_per_row_;
  } else {
    block_columns_ = inner;
    block_rows_ = kTile / std::max<std::int64_t>(inner, 1);
    n_blocks_ = inner == 0 ? 0 : divide_up(n_rows, block_rows_);
  }
  tile_elements_ = kTile;
  blocks_per_chunk_ = kChunk / kTile;
}

void Tiling::split_inner() {
  const std::int64_t n_rows = space_.n_rows();
  block_rows_ = length_ > kTile / 2 ? 1 : std::min(kMaxRows, kTile / length_);
  block_columns_ = length_;
  n_blocks_ = divide_up(n_rows, block_rows_);
  tile_elements_ = std::min(kTile, block_rows_ * length_);
  block_tiles_ = divide_up(length_, kTile);
  block_positions_ = block_rows_;
  blocks_per_chunk_ = std::max<std::int64_t>(1, kChunk / (block_rows_ * length_));
}

void Tiling::split_outer() {
  const std::int64_t inner = space_.inner();
  // Bands of cache lines, narrower ones where they are long: a block is to stay in the second-level
  // cache, and there is to be work for several threads.
  const std::int64_t n_positions = space_.n_rows() / length_ * inner;
  std::int64_t columns = 2 * kLanes;
  while (columns > 16 && (length_ * columns > kTile * 2 * kLanes || 4 * columns > n_positions)) {
    columns /= 2;
  }
  block_columns_ = std::min(columns, inner);
  blocks_per_row_ = divide_up(inner, block_columns_);
  n_blocks_ = space_.n_rows() / length_ * blocks_per_row_;
  tile_rows_ = kLanes * std::max<std::int64_t>(1, kTile / (kLanes * block_columns_));
  tile_rows_ = std::min(tile_rows_, divide_up(length_, kLanes) * kLanes);
  tile_elements_ = tile_rows_ * block_columns_;
  block_tiles_ = divide_up(length_, tile_rows_);
  block_positions_ = block_columns_;
  blocks_per_chunk_ = std::max<std::int64_t>(1, kChunk / (block_columns_ * length_));
}

Tiling::Part Tiling::block(std::int64_t index) const {
  Part part;
  if (kind_ == Kind::kOuter) {
    part.row = index / blocks_per_row_ * length_;
    part.n_rows = length_;
    part.column = index % blocks_per_row_ * block_columns_;
  } else if (blocks_per_row_ > 1) {
    part.row = index / blocks_per_row_;
    part.n_rows = 1;
    part.column = index % blocks_per_row_ * block_columns_;
  } else {
    part.row = index * block_rows_;
    part.n_rows = std::min(block_rows_, space_.n_rows() - part.row);
  }
  part.n_columns = std::min(block_columns_, space_.inner() - part.column);
  return part;
}

Tiling::Part Tiling::tile(const Part& block, std::int64_t index) const {
  Part part = block;
  if (kind_ == Kind::kOuter) {
    part.row += index * tile_rows_;
    part.n_rows = std::min(tile_rows_, block.row + block.n_rows - part.row);
  } else if (block_tiles_ > 1) {
    part.column = index * kTile;
    part.n_columns = std::min(kTile, length_ - part.column);
  }
  return part;
}

Tiling::Part Tiling::positions(const Part& block) const {
  Part part = block;
  (kind_ == Kind::kOuter ? part.n_rows : part.n_columns) = 1;
  return part;
}

bool Tiling::is_uniform(std::size_t tensor) const {
  for (int i = 0; i < space_.rank; ++i) {
    if (stride(tensor, i) != 0) return false;
  }
  return true;
}

bool Tiling::varies_along_axis(std::size_t tensor) const {
  if (kind_ == Kind::kElements) return true;
  return stride(tensor, kind_ == Kind::kInner ? space_.rank - 1 : space_.rank - 2) != 0;
}

std::int64_t Tiling::outer_offset(std::size_t tensor, std::int64_t index) const {
  std::int64_t offset = 0;
  for (int i = space_.rank - 3; i >= 0; --i) {
    offset += index % dim(i) * stride(tensor, i);
    index /= dim(i);
  }
  return offset;
}

}  // namespace pyane::emulator
