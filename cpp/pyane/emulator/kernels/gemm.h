#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "pyane/emulator/hardware/product.h"
#include "pyane/emulator/tensor_view.h"
#include "pyane/linalg/gemm.h"

namespace pyane::emulator {

using linalg::GemmBias;
using linalg::GemmOperand;

/// A batch of matrix products, and in which arithmetic.
struct GemmSpec : linalg::GemmSpec {
  /// Add up as an engine does, and slowly (hardware/product.h); nullptr: fp32, as linalg::Gemm
  /// says.
  std::shared_ptr<const hardware::MacUnit> unit = nullptr;
};

/// Offset of every element of `shape`, row-major, in a layout that broadcasts to it: of the
/// matrices of a batch.
std::vector<std::int64_t> broadcast_offsets(const TensorLayout& layout, const TensorLayout& shape);

/// linalg::Gemm, whose members say what these do, unless the spec names a unit: then nothing is
/// packed, and no scratch needed.
class Gemm {
 public:
  /// @throws ShapeError  as linalg::Gemm.
  explicit Gemm(GemmSpec spec);

  bool pack_a(const void* a) { return unit_ == nullptr && gemm_.pack_a(a); }
  bool pack_b(const void* b) { return unit_ == nullptr && gemm_.pack_b(b); }
  std::size_t scratch_bytes() const { return unit_ == nullptr ? gemm_.scratch_bytes() : 0; }
  void run(const void* a, const void* b, const void* bias, void* c, std::byte* scratch) const;

 private:
  std::shared_ptr<const hardware::MacUnit> unit_;
  linalg::Gemm gemm_;
};

}  // namespace pyane::emulator
