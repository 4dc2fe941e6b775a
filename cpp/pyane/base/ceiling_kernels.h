#pragma once

#include <cstddef>
#include <cstdint>

// Loops of ceilings.cpp by instruction set, each a translation unit compiled for its own: as
// half_kernels.h, they use no inline functions of other headers.

namespace pyane {

/// fp16 to fp32 and back; n is a multiple of 64, or the rest is left to the caller.
/// @return elements done.
using RoundTrip = std::size_t (*)(const std::uint16_t* source, std::uint16_t* target,
                                  std::size_t n);
/// int8 dot products on registers: multiply-adds done in `rounds` rounds; `sink` keeps the sums.
using DotProducts = double (*)(std::int64_t rounds, int* sink);

#if defined(__x86_64__)
std::size_t round_trip_avx512(const std::uint16_t* source, std::uint16_t* target, std::size_t n);
std::size_t round_trip_avx2(const std::uint16_t* source, std::uint16_t* target, std::size_t n);
double dot_products_avx512(std::int64_t rounds, int* sink);
#elif defined(__aarch64__)
std::size_t round_trip_neon(const std::uint16_t* source, std::uint16_t* target, std::size_t n);
#if defined(__ARM_FEATURE_DOTPROD)
double dot_products_neon(std::int64_t rounds, int* sink);
#endif
#endif

}  // namespace pyane
