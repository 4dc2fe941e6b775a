#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "pyane/emulator/iteration.h"
#include "pyane/emulator/tensor_view.h"

namespace pyane::emulator {

/// How a chain of operations walks through tensors of equal dimensions: in tiles, rectangles of
/// elements that are worked on densely packed while they are in the first-level cache. Where values
/// along one axis are reduced, tiles come in blocks that hold whole runs along the axis:
///
///   kElements  No axis. A tile is a piece of one row, or several whole rows.
///   kInner     The axis is the innermost dimension: a block is a few whole rows, one tile; or one
///              long row, in several tiles.
///   kOuter     Another dimension is the innermost one: a block is a narrow band of neighbouring
///              columns, its tiles bundles of kSumLanes rows, which lie along the axis.
///
/// The split depends on the dimensions and strides only.
class Tiling {
 public:
  enum class Kind : std::uint8_t { kElements, kInner, kOuter };

  /// A rectangle: rows count over all dimensions but the innermost one.
  struct Part {
    std::int64_t row = 0;
    std::int64_t n_rows = 0;
    std::int64_t column = 0;
    std::int64_t n_columns = 0;

    std::size_t count() const { return static_cast<std::size_t>(n_rows * n_columns); }
  };

  /// Longest axis that a block can hold.
  static constexpr std::int64_t kMaxInner = std::int64_t{1} << 16;
  static constexpr std::int64_t kMaxOuter = std::int64_t{1} << 13;

  /// @param axis  Dimension that is reduced, not of size 1, no tensor being empty; negative: none.
  Tiling(std::span<const TensorLayout> tensors, int axis);

  Kind kind() const { return kind_; }
  std::int64_t n_blocks() const { return n_blocks_; }
  /// Blocks that one thread takes at a time.
  std::int64_t blocks_per_chunk() const { return blocks_per_chunk_; }

  /// All of a block.
  Part block(std::int64_t index) const;
  Part tile(const Part& block, std::int64_t index) const;
  /// What is left of a block when the axis has been reduced: its first element along the axis.
  Part positions(const Part& block) const;

  // The largest there are.
  std::size_t tile_elements() const { return static_cast<std::size_t>(tile_elements_); }
  /// Every block has so many tiles.
  std::size_t block_tiles() const { return static_cast<std::size_t>(block_tiles_); }
  std::size_t block_positions() const { return static_cast<std::size_t>(block_positions_); }

  std::int64_t axis_length() const { return length_; }
  /// All elements of the tensor are the same one.
  bool is_uniform(std::size_t tensor) const;
  /// Elements of the tensor differ along the axis.
  bool varies_along_axis(std::size_t tensor) const;

  /// A row of rectangles with even strides, in elements.
  struct Run {
    std::int64_t offset;  ///< From the tensor's first element.
    std::int64_t row_stride;
    std::int64_t n_rows;
    std::int64_t first_row;  ///< Within the part.
  };
  std::int64_t column_stride(std::size_t tensor) const { return space_.inner_stride(tensor); }
  /// visit(Run): the part in as few pieces as the tensor's strides allow.
  template <typename Visit>
  void for_each_run(std::size_t tensor, const Part& part, const Visit& visit) const {
    const std::int64_t in_a_run = space_.rank > 1 ? dim(space_.rank - 2) : 1;
    const std::int64_t row_stride = space_.rank > 1 ? stride(tensor, space_.rank - 2) : 0;
    const std::int64_t column = part.column * column_stride(tensor);
    if (part.row + part.n_rows <= in_a_run) {  // The usual case, without divisions.
      return visit(Run{part.row * row_stride + column, row_stride, part.n_rows, 0});
    }
    for (std::int64_t done = 0; done < part.n_rows;) {
      const std::int64_t row = part.row + done;
      const std::int64_t n = std::min(part.n_rows - done, in_a_run - row % in_a_run);
      visit(Run{outer_offset(tensor, row / in_a_run) + row % in_a_run * row_stride + column,
                row_stride, n, done});
      done += n;
    }
  }

 private:
  std::int64_t dim(int i) const { return space_.dims[static_cast<std::size_t>(i)]; }
  std::int64_t stride(std::size_t tensor, int i) const {
    return space_.strides[tensor][static_cast<std::size_t>(i)];
  }
  std::int64_t outer_offset(std::size_t tensor, std::int64_t index) const;
  void split_elements();
  void split_inner();
  void split_outer();

  Kind kind_ = Kind::kElements;
  IterationSpace space_;
  std::int64_t length_ = 1;
  std::int64_t n_blocks_ = 0;
  std::int64_t blocks_per_chunk_ = 1;
  std::int64_t block_rows_ = 1;      ///< kElements, kInner.
  std::int64_t block_columns_ = 0;   ///< kElements: of a piece; kOuter: of a band.
  std::int64_t blocks_per_row_ = 1;  ///< kElements: pieces of a row; kOuter: bands.
  std::int64_t tile_rows_ = 1;       ///< kOuter.
  std::int64_t tile_elements_ = 0;
  std::int64_t block_tiles_ = 1;
  std::int64_t block_positions_ = 1;
};

}  // namespace pyane::emulator
