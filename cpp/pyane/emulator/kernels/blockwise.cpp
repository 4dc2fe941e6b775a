#include "pyane/emulator/kernels/blockwise.h"

#include "pyane/base/shape.h"

namespace pyane::emulator {

BlockIndex::BlockIndex(const Shape& dims, const Shape& blocks)
    : dims_(dims), strides_(contiguous_strides(blocks)) {
  for (std::size_t i = 0; i < dims.size(); ++i) sizes_.push_back(dims[i] / blocks[i]);
  if (dims.empty()) return;
  for (std::size_t i = 0; i + 1 < dims.size(); ++i) n_rows_ *= dims[i];
  length_ = dims.back();
  run_ = sizes_.back();
}

std::int64_t BlockIndex::first(std::int64_t row) const {
  std::int64_t entry = 0;
  for (std::size_t i = dims_.size(); i-- > 1;) {
    entry += row % dims_[i - 1] / sizes_[i - 1] * strides_[i - 1];
    row /= dims_[i - 1];
  }
  return entry;
}

Shape per_axis_blocks(std::size_t rank, std::int64_t axis, const TensorLayout& parameter) {
  Shape blocks(rank, 1);
  if (parameter.rank == 1) blocks[static_cast<std::size_t>(axis)] = parameter.dim(0);
  return blocks;
}

}  // namespace pyane::emulator
