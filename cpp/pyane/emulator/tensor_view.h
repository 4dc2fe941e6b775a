#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "pyane/base/dtype.h"
#include "pyane/base/shape.h"

namespace pyane::emulator {

/// Largest rank of a tensor that the emulator evaluates; MIL tensors have at most 5 dimensions on
/// the engine, 8 leaves room for reshapes in between.
inline constexpr int kMaxRank = 8;

/// Where a tensor's elements stand relative to a base address: dimensions and strides without
/// allocation, so that kernels may copy and change them freely.
struct TensorLayout {
  DType dtype = DType::kFp16;
  int rank = 0;
  std::array<std::int64_t, kMaxRank> dims{};
  std::array<std::int64_t, kMaxRank> strides{};  ///< In elements; 0 repeats, negative is allowed.

  /// Row-major without gaps. `shape` must have known dimensions and rank <= kMaxRank.
  static TensorLayout contiguous(DType dtype, const Shape& shape);

  std::int64_t count() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= dims[static_cast<std::size_t>(i)];
    return n;
  }
  std::int64_t dim(int i) const { return dims[static_cast<std::size_t>(i)]; }
  std::int64_t stride(int i) const { return strides[static_cast<std::size_t>(i)]; }
  Shape shape() const { return Shape(dims.begin(), dims.begin() + rank); }
  std::size_t element_bytes() const { return dtype_size(dtype); }
  /// Row-major without gaps (strides of unit dimensions do not matter).
  bool is_contiguous() const;
};

/// A tensor in memory. Does not own it. Inputs of a step are read only, whatever the type says.
struct TensorView : TensorLayout {
  std::byte* data = nullptr;

  /// An optional operand that the program does not give.
  bool is_absent() const { return rank < 0; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data);
  }
};

}  // namespace pyane::emulator
