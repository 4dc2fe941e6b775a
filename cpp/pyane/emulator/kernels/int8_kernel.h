#pragma once

#include <cstdint>

// The inner loops of products of 8-bit integers, one set per instruction set (int8_kernel_impl.h
// compiled once for each). Plain pointers and function pointers only, as in linalg/gemm_kernel.h.
// Sums are exact, so all of them give the same.
//
// Both operands come in words of 32 bits, which hold `depth` elements that follow each other along
// k: four bytes (activations unsigned or not, weights signed), or two int16.

namespace pyane::emulator {

struct Int8Kernel {
  int mr;            ///< Rows (filters) of a tile.
  int nr;            ///< Columns (positions) of a tile.
  int depth;         ///< Elements per word: 4 bytes or 2 int16.
  bool is_unsigned;  ///< Whether the bytes of activations are unsigned.

  /// sums[i * nr + j] = sum over k of dot(a[k * mr + i], b[row_offsets[k] + j]) modulo 2^32, for
  /// i < rows. Reads nr words of each row of b.
  void (*multiply)(std::int64_t n_k, const std::int32_t* a, const std::int32_t* b,
                   const std::int64_t* row_offsets, std::int32_t* sums, int rows);

  /// words[i] = the elements rows[0..depth)[i], each flipped by `flip` (bytes) or less `zero`
  /// (int16; is_signed: rows are int8). n words.
  void (*interleave)(const std::uint8_t* const* rows, std::int64_t n, std::uint8_t flip,
                     std::int32_t zero, bool is_signed, std::int32_t* words);

  /// out[i] = float(sums[i] - correction) * factor + bias, each operation rounded to fp32.
  void (*scale)(const std::int32_t* sums, int n, std::int32_t correction, float factor, float bias,
                float* out);
};

/// clip(round(x / scale) + zero_point) of n elements, as kernels/quantization.cpp says.
using QuantizeRun = void (*)(const float* x, std::int64_t n, float scale, float zero_point,
                             float low, float high, std::uint8_t* out);

/// The fastest of the instruction set in use; `of_bytes`: whether weights fit signed bytes.
const Int8Kernel& active_int8_kernel(bool of_bytes);
QuantizeRun active_quantize_run();

extern const Int8Kernel kInt8KernelScalar;
extern const QuantizeRun kQuantizeScalar;
#if defined(__x86_64__)
extern const Int8Kernel kInt8KernelAvx2;
extern const QuantizeRun kQuantizeAvx2;
extern const Int8Kernel kInt8KernelAvx512;
extern const QuantizeRun kQuantizeAvx512;
extern const Int8Kernel kInt8KernelAvx512Vnni;
#elif defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
extern const Int8Kernel kInt8KernelNeonDot;
#endif

}  // namespace pyane::emulator
