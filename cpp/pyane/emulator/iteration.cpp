#include "pyane/emulator/iteration.h"

namespace pyane::emulator {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

}  // namespace

TensorLayout broadcast_to(const TensorLayout& layout, std::span<const std::int64_t> dims) {
  TensorLayout result;
  result.dtype = layout.dtype;
  result.rank = static_cast<int>(dims.size());
  const int missing = result.rank - layout.rank;
  for (int i = 0; i < result.rank; ++i) {
    result.dims[at(i)] = dims[at(i)];
    const bool repeats = i < missing || (layout.dim(i - missing) == 1 && dims[at(i)] != 1);
    result.strides[at(i)] = repeats ? 0 : layout.stride(i - missing);
  }
  return result;
}

IterationSpace::IterationSpace(std::span<const TensorLayout> tensors, int kept)
    : strides(tensors.size()) {
  const TensorLayout& first = tensors.front();
  for (int i = 0; i < first.rank; ++i) {
    const std::int64_t dim = first.dim(i);
    if (dim == 1) continue;
    bool merges = rank > 0 && i != kept && rank - 1 != axis;
    for (std::size_t t = 0; merges && t < tensors.size(); ++t) {
      merges = strides[t][at(rank - 1)] == tensors[t].stride(i) * dim;
    }
    if (merges) {
      dims[at(rank - 1)] *= dim;
    } else {
      dims[at(rank++)] = dim;
    }
    if (i == kept) axis = rank - 1;
    for (std::size_t t = 0; t < tensors.size(); ++t) {
      strides[t][at(rank - 1)] = tensors[t].stride(i);
    }
  }
  if (rank == 0) {
    rank = 1;
    dims[0] = 1;
    for (auto& tensor : strides) tensor[0] = 1;
  }
}

std::int64_t IterationSpace::n_rows() const {
  std::int64_t n = 1;
  for (int i = 0; i + 1 < rank; ++i) n *= dims[at(i)];
  return n;
}

RowCursor::RowCursor(const IterationSpace& space, std::int64_t row) : space_(&space) {
  for (int i = space.rank - 2; i >= 0; --i) {
    index_[at(i)] = row % space.dims[at(i)];
    row /= space.dims[at(i)];
  }
}

std::int64_t RowCursor::offset(std::size_t tensor) const {
  std::int64_t offset = 0;
  for (int i = 0; i + 1 < space_->rank; ++i) {
    offset += index_[at(i)] * space_->strides[tensor][at(i)];
  }
  return offset;
}

void RowCursor::advance() {
  for (int i = space_->rank - 2; i >= 0; --i) {
    if (++index_[at(i)] < space_->dims[at(i)]) return;
    index_[at(i)] = 0;
  }
}

}  // namespace pyane::emulator
