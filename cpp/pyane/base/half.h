#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

// IEEE binary16 ("fp16"), kept as its bits. Conversions to fp16 round half to even; what is too
// large becomes infinity, subnormals are kept.

namespace pyane {

using half_bits = std::uint16_t;

/// Exact.
constexpr float half_to_float(half_bits h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000U) << 16;
  std::uint32_t exponent = (h >> 10) & 0x1FU;
  std::uint32_t mantissa = h & 0x3FFU;
  if (exponent == 31) {  // infinity, NaN (quietened, as the hardware instruction does)
    const std::uint32_t quiet = mantissa != 0 ? 0x400000U : 0U;
    return std::bit_cast<float>(sign | 0x7F800000U | quiet | (mantissa << 13));
  }
  if (exponent == 0) {
    if (mantissa == 0) return std::bit_cast<float>(sign);
    exponent = 113;  // 127 - 15 + 1
    while ((mantissa & 0x400U) == 0) {
      mantissa <<= 1;
      --exponent;
    }
    return std::bit_cast<float>(sign | (exponent << 23) | ((mantissa & 0x3FFU) << 13));
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

/// Round half to even.
constexpr half_bits float_to_half(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<half_bits>((bits >> 16) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude >= 0x7F800000U) {  // infinity, NaN (quiet, top payload bits kept)
    const std::uint32_t nan = magnitude > 0x7F800000U ? 0x200U | ((magnitude >> 13) & 0x3FFU) : 0U;
    return static_cast<half_bits>(sign | 0x7C00U | nan);
  }
  if (magnitude >= 0x477FF000U) return static_cast<half_bits>(sign | 0x7C00U);  // >= 65520
  if (magnitude < 0x33000001U) return sign;  // <= 2^-25 rounds to zero (ties to even)
  const std::uint32_t exponent = magnitude >> 23;
  std::uint32_t mantissa = (magnitude & 0x7FFFFFU) | 0x800000U;
  // Bits to drop: 13 for normal results, more for subnormal ones.
  const std::uint32_t shift = exponent >= 113 ? 13 : 126 - exponent;
  const std::uint32_t kept = mantissa >> shift;
  const std::uint32_t rest = mantissa & ((1U << shift) - 1);
  const std::uint32_t halfway = 1U << (shift - 1);
  std::uint32_t result = kept + ((rest > halfway || (rest == halfway && (kept & 1U) != 0)) ? 1 : 0);
  // A normal result carries its implicit bit, which adds one to the exponent field.
  if (exponent >= 113) result += (exponent - 113) << 10;
  return static_cast<half_bits>(sign | result);
}

/// Bulk conversions, vectorised (AVX-512, F16C or NEON, chosen at run time; scalar otherwise). Same
/// bits as the scalar functions, NaN payloads included. `n` elements; buffers may not overlap.
void half_to_float(const half_bits* source, float* target, std::size_t n);
void float_to_half(const float* source, half_bits* target, std::size_t n);

/// The same for a part of a conversion that the caches do not hold: results go to memory past them
/// where the instruction set can (AVX-512), which saves reading what is about to be overwritten.
void half_to_float_stream(const half_bits* source, float* target, std::size_t n);
void float_to_half_stream(const float* source, half_bits* target, std::size_t n);

/// The same as float_to_half, turned over: source [rows, cols] to target [cols, rows]. On the pool.
void float_to_half_transposed(const float* source, half_bits* target, std::size_t rows,
                              std::size_t cols);

}  // namespace pyane
