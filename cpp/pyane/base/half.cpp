#include "pyane/base/half.h"

#include "pyane/base/cpu.h"
#include "pyane/base/half_kernels.h"

namespace pyane {

void half_to_float(const half_bits* source, float* target, std::size_t n) {
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAvx512:
      return half_to_float_avx512(source, target, n);
    case Isa::kAvx2:
      return half_to_float_avx2(source, target, n);
#elif defined(__aarch64__)
    case Isa::kNeon:
      return half_to_float_neon(source, target, n);
#endif
    default:
      for (std::size_t i = 0; i < n; ++i) target[i] = half_to_float(source[i]);
  }
}

void float_to_half(const float* source, half_bits* target, std::size_t n) {
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAvx512:
      return float_to_half_avx512(source, target, n);
    case Isa::kAvx2:
      return float_to_half_avx2(source, target, n);
#elif defined(__aarch64__)
    case Isa::kNeon:
      return float_to_half_neon(source, target, n);
#endif
    default:
      for (std::size_t i = 0; i < n; ++i) target[i] = float_to_half(source[i]);
  }
}

void half_to_float_stream(const half_bits* source, float* target, std::size_t n) {
#if defined(__x86_64__)
  if (active_isa() == Isa::kAvx512) return half_to_float_stream_avx512(source, target, n);
#endif
  half_to_float(source, target, n);
}

void float_to_half_stream(const float* source, half_bits* target, std::size_t n) {
#if defined(__x86_64__)
  if (active_isa() == Isa::kAvx512) return float_to_half_stream_avx512(source, target, n);
#endif
  float_to_half(source, target, n);
}

}  // namespace pyane
