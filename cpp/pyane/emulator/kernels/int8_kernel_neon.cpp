#include "pyane/emulator/kernels/int8_kernel.h"

// Compilers for Apple silicon take the dot products of Armv8.4 for granted; elsewhere they are
// there if the build asks for them.
#if defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>

namespace pyane::emulator {
namespace {

using IntVector = int32x4_t;
constexpr int kLanes = 4;
// 24 sums, 4 columns and a row's element out of 32 registers.
constexpr int kMr = 6;
constexpr int kNrVectors = 4;
constexpr int kDepth = 4;
constexpr bool kIsUnsigned = false;

inline IntVector load(const std::int32_t* p) { return vld1q_s32(p); }
inline void store(std::int32_t* p, IntVector v) { vst1q_s32(p, v); }
inline IntVector splat(std::int32_t x) { return vdupq_n_s32(x); }
inline void add_dot(IntVector& sum, IntVector b, IntVector a) {
  sum = vdotq_s32(sum, vreinterpretq_s8_s32(b), vreinterpretq_s8_s32(a));
}

#include "pyane/emulator/kernels/int8_kernel_impl.h"

}  // namespace

const Int8Kernel kInt8KernelNeonDot = kKernel;

}  // namespace pyane::emulator
#endif
