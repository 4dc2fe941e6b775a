#include "pyane/emulator/kernels/int8_kernel.h"

// For CPUs without a set of their own, in the compilers' portable vectors: SSE2 on any x86-64.

namespace pyane::emulator {
namespace {

using IntVector = std::int32_t __attribute__((vector_size(16)));
constexpr int kLanes = 4;
constexpr int kMr = 4;
constexpr int kNrVectors = 2;
constexpr int kDepth = 2;
constexpr bool kIsUnsigned = false;

inline IntVector load(const std::int32_t* p) {
  IntVector v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline void store(std::int32_t* p, IntVector v) { __builtin_memcpy(p, &v, sizeof v); }
inline IntVector splat(std::int32_t x) { return IntVector{x, x, x, x}; }
inline void add_dot(IntVector& sum, IntVector b, IntVector a) {
  // Sign-extended halves; their products and sums stay far below 2^31.
  sum += (b >> 16) * (a >> 16);
  const auto low = [](IntVector v) {
    using Words = std::uint32_t __attribute__((vector_size(16)));
    return reinterpret_cast<IntVector>(reinterpret_cast<Words>(v) << 16) >> 16;
  };
  sum += low(b) * low(a);
}

#include "pyane/emulator/kernels/int8_kernel_impl.h"

}  // namespace

const Int8Kernel kInt8KernelScalar = kKernel;
const QuantizeRun kQuantizeScalar = &quantize_run;

}  // namespace pyane::emulator
