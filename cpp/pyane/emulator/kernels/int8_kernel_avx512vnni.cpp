#include <immintrin.h>

#include "pyane/emulator/kernels/int8_kernel.h"

namespace pyane::emulator {
namespace {

using IntVector = __m512i;
constexpr int kLanes = 16;
// 28 sums, 2 columns and a row's element fill the 32 registers.
constexpr int kMr = 14;
constexpr int kNrVectors = 2;
constexpr int kDepth = 4;
constexpr bool kIsUnsigned = true;

inline IntVector load(const std::int32_t* p) { return _mm512_loadu_si512(p); }
inline void store(std::int32_t* p, IntVector v) { _mm512_storeu_si512(p, v); }
inline IntVector splat(std::int32_t x) { return _mm512_set1_epi32(x); }
inline void add_dot(IntVector& sum, IntVector b, IntVector a) {
  // The intrinsic makes gcc copy every sum to another register and back.
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(b), "v"(a));
}

#include "pyane/emulator/kernels/int8_kernel_impl.h"

}  // namespace

const Int8Kernel kInt8KernelAvx512Vnni = kKernel;

}  // namespace pyane::emulator
