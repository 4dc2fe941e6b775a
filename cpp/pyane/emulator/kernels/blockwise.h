#pragma once

#include <vector>

#include "pyane/emulator/tensor_view.h"

namespace pyane::emulator {

/// Which entry of a smaller tensor (scales, lookup tables) belongs to each element of a larger one:
/// both of the same rank, every dimension of the larger a multiple of the smaller's.
class BlockIndex {
 public:
  /// @param blocks  Number of blocks along each dimension.
  BlockIndex(const Shape& dims, const Shape& blocks);

  std::int64_t n_rows() const { return n_rows_; }
  /// Elements of a row: the last dimension.
  std::int64_t length() const { return length_; }
  /// Neighbours within a row that share an entry; entries of a row follow each other.
  std::int64_t run() const { return run_; }
  /// Entry of a row's first element.
  std::int64_t first(std::int64_t row) const;

 private:
  Shape dims_;
  Shape sizes_;    ///< Elements per block.
  Shape strides_;  ///< Of the entries.
  std::int64_t n_rows_ = 1;
  std::int64_t length_ = 1;
  std::int64_t run_ = 1;
};

/// `dims` blocks for a parameter that is a scalar, or a vector over `axis`.
Shape per_axis_blocks(std::size_t rank, std::int64_t axis, const TensorLayout& parameter);

}  // namespace pyane::emulator
