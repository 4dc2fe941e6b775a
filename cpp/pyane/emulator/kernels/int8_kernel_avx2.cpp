#include <immintrin.h>

#include "pyane/emulator/kernels/int8_kernel.h"

namespace pyane::emulator {
namespace {

using IntVector = __m256i;
constexpr int kLanes = 8;
// 10 sums, 2 columns, a row's element and a product in 16 registers.
constexpr int kMr = 5;
constexpr int kNrVectors = 2;
constexpr int kDepth = 2;
constexpr bool kIsUnsigned = false;

inline IntVector load(const std::int32_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline void store(std::int32_t* p, IntVector v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
}
inline IntVector splat(std::int32_t x) { return _mm256_set1_epi32(x); }
// vpmaddubsw on bytes would saturate.
inline void add_dot(IntVector& sum, IntVector b, IntVector a) {
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(b, a));
}

#include "pyane/emulator/kernels/int8_kernel_impl.h"

}  // namespace

const Int8Kernel kInt8KernelAvx2 = kKernel;
const QuantizeRun kQuantizeAvx2 = &quantize_run;

}  // namespace pyane::emulator
