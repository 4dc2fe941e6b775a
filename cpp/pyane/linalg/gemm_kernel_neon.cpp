#include <arm_neon.h>

#include "pyane/linalg/gemm_kernel.h"

namespace pyane::linalg {
namespace {

using Vector = float32x4_t;
constexpr int kLanes = 4;
// 24 sums, 4 columns and a row's element out of 32 registers.
constexpr int kMr = 6;
constexpr int kNrVectors = 4;

inline Vector splat(float x) { return vdupq_n_f32(x); }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return vfmaq_f32(c, a, b); }

inline Vector load(const float* p) { return vld1q_f32(p); }
inline void store(float* p, Vector v) { vst1q_f32(p, v); }

inline Vector load(const std::uint16_t* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
inline void store(std::uint16_t* p, Vector v) {
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
}

template <typename T>
inline Vector load_part(const T* p, int n) {
  T part[kLanes] = {};
  for (int i = 0; i < n; ++i) part[i] = p[i];
  return load(part);
}
template <typename T>
inline void store_part(T* p, Vector v, int n) {
  T part[kLanes];
  store(part, v);
  for (int i = 0; i < n; ++i) p[i] = part[i];
}

#include "pyane/linalg/gemm_kernel_impl.h"

}  // namespace

const GemmKernel kGemmKernelNeon = kKernel;

}  // namespace pyane::linalg
