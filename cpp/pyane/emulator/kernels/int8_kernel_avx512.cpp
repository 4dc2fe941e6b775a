#include <immintrin.h>

#include "pyane/emulator/kernels/int8_kernel.h"

// Without VNNI, and for weights that do not fit signed bytes.

namespace pyane::emulator {
namespace {

using IntVector = __m512i;
constexpr int kLanes = 16;
// 24 sums, 2 columns, and elements and products on their way.
constexpr int kMr = 12;
constexpr int kNrVectors = 2;
constexpr int kDepth = 2;
constexpr bool kIsUnsigned = false;

inline IntVector load(const std::int32_t* p) { return _mm512_loadu_si512(p); }
inline void store(std::int32_t* p, IntVector v) { _mm512_storeu_si512(p, v); }
inline IntVector splat(std::int32_t x) { return _mm512_set1_epi32(x); }
inline void add_dot(IntVector& sum, IntVector b, IntVector a) {
  sum = _mm512_add_epi32(sum, _mm512_madd_epi16(b, a));
}

#include "pyane/emulator/kernels/int8_kernel_impl.h"

}  // namespace

const Int8Kernel kInt8KernelAvx512 = kKernel;
const QuantizeRun kQuantizeAvx512 = &quantize_run;

}  // namespace pyane::emulator
