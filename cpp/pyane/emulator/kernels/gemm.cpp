#include "pyane/emulator/kernels/gemm.h"

#include <utility>

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

}  // namespace pyane::emulator
