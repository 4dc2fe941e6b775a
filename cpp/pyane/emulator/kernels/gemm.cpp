#include "pyane/emulator/kernels/gemm.h"

#include <cstdint>
#include <utility>
#include <vector>

namespace pyane::emulator {

Gemm::Gemm(GemmSpec spec)
    : unit_(std::move(spec.unit)), gemm_(std::move(static_cast<linalg::GemmSpec&>(spec))) {}

void Gemm::run(const void* a, const void* b, const void* bias, void* c, std::byte* scratch) const {
  if (unit_ != nullptr) {
    hardware::multiply(gemm_.spec(), *unit_, a, b, bias, c);
  } else {
    gemm_.run(a, b, bias, c, scratch);
  }
}

std::vector<std::int64_t> broadcast_offsets(const TensorLayout& layout, const TensorLayout& shape) {
  std::vector<std::int64_t> offsets = {0};
  for (int i = 0; i < shape.rank; ++i) {
    const int own = i - (shape.rank - layout.rank);
    const std::int64_t stride = own < 0 || layout.dim(own) == 1 ? 0 : layout.stride(own);
    std::vector<std::int64_t> next;
    next.reserve(offsets.size() * static_cast<std::size_t>(shape.dim(i)));
    for (const std::int64_t offset : offsets) {
      for (std::int64_t j = 0; j < shape.dim(i); ++j) next.push_back(offset + j * stride);
    }
    offsets = std::move(next);
  }
  return offsets;
}

}  // namespace pyane::emulator
