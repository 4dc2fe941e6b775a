#include "pyane/base/half.h"
#include "pyane/linalg/gemm_kernel.h"

// For CPUs without a set of their own. The vector type is the compilers' portable one: SSE2 on any
// x86-64, plain registers elsewhere. No FMA is asked for, since it would be a slow library call.

namespace pyane::linalg {
namespace {

using Vector = float __attribute__((vector_size(16)));
constexpr int kLanes = 4;
constexpr int kMr = 4;
constexpr int kNrVectors = 2;

inline Vector splat(float x) { return Vector{x, x, x, x}; }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return a * b + c; }

inline Vector load(const float* p) {
  Vector v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Vector v) { __builtin_memcpy(p, &v, sizeof v); }

inline Vector load(const std::uint16_t* p) {
  return Vector{half_to_float(p[0]), half_to_float(p[1]), half_to_float(p[2]), half_to_float(p[3])};
}
inline void store(std::uint16_t* p, Vector v) {
  for (int i = 0; i < kLanes; ++i) p[i] = float_to_half(v[i]);
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

const GemmKernel kGemmKernelScalar = kKernel;

}  // namespace pyane::linalg
