#pragma once

#include <cstddef>
#include <cstdint>

// Bulk conversions by instruction set. Each is a translation unit of its own, compiled for its
// instruction set: it must not use inline functions or templates of other headers, or the linker
// might keep its copy of them for CPUs without these instructions.

namespace pyane {

#if defined(__x86_64__)
void half_to_float_avx512(const std::uint16_t* source, float* target, std::size_t n);
void float_to_half_avx512(const float* source, std::uint16_t* target, std::size_t n);
void half_to_float_stream_avx512(const std::uint16_t* source, float* target, std::size_t n);
void float_to_half_stream_avx512(const float* source, std::uint16_t* target, std::size_t n);
void half_to_float_avx2(const std::uint16_t* source, float* target, std::size_t n);
void float_to_half_avx2(const float* source, std::uint16_t* target, std::size_t n);
#elif defined(__aarch64__)
void half_to_float_neon(const std::uint16_t* source, float* target, std::size_t n);
void float_to_half_neon(const float* source, std::uint16_t* target, std::size_t n);
#endif

}  // namespace pyane
