#include "pyane/emulator/tensor_view.h"

namespace pyane::emulator {

TensorLayout TensorLayout::contiguous(DType dtype, const Shape& shape) {
  TensorLayout layout;
  layout.dtype = dtype;
  layout.rank = static_cast<int>(shape.size());
  std::int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    layout.dims[i] = shape[i];
    layout.strides[i] = stride;
    stride *= shape[i];
  }
  return layout;
}

bool TensorLayout::is_contiguous() const {
  std::int64_t expected = 1;
  for (int i = rank - 1; i >= 0; --i) {
    if (dim(i) == 1) continue;
    if (stride(i) != expected) return false;
    expected *= dim(i);
  }
  return true;
}

}  // namespace pyane::emulator
