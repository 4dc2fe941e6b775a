#include "pyane/emulator/kernels/reshape.h"

namespace pyane::emulator {

std::optional<TensorLayout> reshaped(const TensorLayout& layout, const Shape& dims) {
  if (layout.count() == 0) return TensorLayout::contiguous(layout.dtype, dims);
  // Runs of dimensions that step evenly through memory, innermost first.
  TensorLayout runs;
  for (int i = layout.rank - 1; i >= 0; --i) {
    if (layout.dim(i) == 1) continue;
    const auto last = static_cast<std::size_t>(runs.rank - 1);
    if (runs.rank > 0 && layout.stride(i) == runs.strides[last] * runs.dims[last]) {
      runs.dims[last] *= layout.dim(i);
    } else {
      runs.dims[static_cast<std::size_t>(runs.rank)] = layout.dim(i);
      runs.strides[static_cast<std::size_t>(runs.rank++)] = layout.stride(i);
    }
  }
  // New dimensions, innermost first, each out of one run.
  TensorLayout result;
  result.dtype = layout.dtype;
  result.rank = static_cast<int>(dims.size());
  int run = 0;
  std::int64_t left = runs.rank > 0 ? runs.dim(0) : 1;
  std::int64_t stride = runs.rank > 0 ? runs.stride(0) : 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    result.dims[i] = dims[i];
    result.strides[i] = stride;
    if (dims[i] == 1) continue;
    if (left == 1) {
      ++run;
      left = runs.dim(run);
      stride = runs.stride(run);
      result.strides[i] = stride;
    }
    if (left % dims[i] != 0) return std::nullopt;
    left /= dims[i];
    stride *= dims[i];
  }
  return result;
}

}  // namespace pyane::emulator
