#pragma once

#include <cstddef>

#include "pyane/base/cpu.h"

// Plain loops, compiled once per instruction set and chosen at run time. The files of this folder
// are built with -ffp-contract=off and sums have a fixed number of lanes, so every instruction set
// gives the same bits; only the speed differs.

/// For the body given to vectorized() and all it calls: what is not inlined stays baseline code.
#define PYANE_INLINE __attribute__((always_inline))

#if defined(__x86_64__)
#define PYANE_TARGET_AVX2 __attribute__((target("avx2,fma,f16c")))
#define PYANE_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")))
#endif

namespace pyane {

/// Lanes of a horizontal sum or maximum: wide enough to hide latency on every instruction set.
inline constexpr std::size_t kLanes = 64;

#if defined(__x86_64__)
namespace detail {

template <typename Body>
PYANE_TARGET_AVX2 void run_avx2(const Body& body) {
  body();
}
template <typename Body>
PYANE_TARGET_AVX512 void run_avx512(const Body& body) {
  body();
}

}  // namespace detail

/// Runs body(), a lambda marked PYANE_INLINE, compiled for active_isa().
template <typename Body>
void vectorized(const Body& body) {
  switch (active_isa()) {
    case Isa::kAvx512:
      return detail::run_avx512(body);
    case Isa::kAvx2:
      return detail::run_avx2(body);
    default:
      return body();
  }
}
#else
/// Runs body(). NEON is part of the baseline.
template <typename Body>
void vectorized(const Body& body) {
  body();
}
#endif

/// Sum of lanes[0 .. 2 * kHalf), halving pairwise. Destroys them.
template <std::size_t kHalf = kLanes / 2, typename T>
PYANE_INLINE inline T sum_lanes(T* lanes) {
  for (std::size_t l = 0; l < kHalf; ++l) lanes[l] += lanes[l + kHalf];
  if constexpr (kHalf > 1) sum_lanes<kHalf / 2>(lanes);
  return lanes[0];
}

}  // namespace pyane
