#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "pyane/emulator/tensor_view.h"

namespace pyane::emulator {

/// `layout` seen with the dimensions `dims`, NumPy's broadcasting: repeated elements have stride 0.
/// `dims` must be what `layout` broadcasts to.
TensorLayout broadcast_to(const TensorLayout& layout, std::span<const std::int64_t> dims);

/// Several tensors of equal dimensions walked together, with as few dimensions as their strides
/// allow: unit dimensions dropped, neighbours merged where every tensor steps through both evenly.
struct IterationSpace {
  int rank = 0;  ///< At least 1.
  std::array<std::int64_t, kMaxRank> dims{};
  std::vector<std::array<std::int64_t, kMaxRank>> strides;  ///< One per tensor.
  int axis = -1;                                            ///< Where `kept` has come to.

  /// @param kept  A dimension other than 1 that is not merged with others; negative: none.
  explicit IterationSpace(std::span<const TensorLayout> tensors, int kept = -1);

  std::int64_t inner() const { return dims[static_cast<std::size_t>(rank - 1)]; }
  /// Product of all dimensions but the last.
  std::int64_t n_rows() const;
  std::int64_t inner_stride(std::size_t tensor) const {
    return strides[tensor][static_cast<std::size_t>(rank - 1)];
  }
};

/// A place among the rows (all dimensions but the last) of an iteration space.
class RowCursor {
 public:
  RowCursor(const IterationSpace& space, std::int64_t row);
  /// Offset in elements of the row in tensor `tensor`.
  std::int64_t offset(std::size_t tensor) const;
  void advance();

 private:
  const IterationSpace* space_;
  std::array<std::int64_t, kMaxRank> index_{};
};

}  // namespace pyane::emulator
