#pragma once

#include <cstddef>
#include <cstdint>

// The inner loops of the matrix product, one set per instruction set (gemm_kernel_impl.h compiled
// once for each). Plain pointers and function pointers only: these translation units must not share
// inline functions with the rest, or the linker might keep a copy that not every CPU can run.

namespace pyane::linalg {

/// Where packing reads from: element (lane, k) is at data[lane_offset + k_offset], in elements. A
/// lane is a row of a or a column of b. With null tables the offsets are lane * lane_stride and
/// k * k_stride.
struct GemmSource {
  const void* data;
  bool is_half;  ///< fp16, else fp32.
  std::int64_t lane_stride;
  std::int64_t k_stride;
  const std::int64_t* lane_offsets;
  const std::int64_t* k_offsets;
};

/// Where a tile of c goes, and what is added on the way.
struct GemmTarget {
  void* data;  ///< Element (0, 0) of the tile.
  bool is_half;
  std::int64_t row_stride;
  std::int64_t col_stride;
  const void* bias;  ///< nullptr: none. Else the entry of the tile's first row or column.
  bool bias_is_half;
  bool bias_is_per_row;
  float scale = 1.0F;    ///< Of the sums, before the bias.
  bool adds_to = false;  ///< The old contents are added at last.
};

/// What the next products need: data + k * stride bytes is fetched into the second-level cache
/// while the products for k are made.
struct GemmAhead {
  const char* data;
  std::int64_t stride;
};

struct GemmKernel {
  int mr;  ///< Rows of a tile: width of a panel of a.
  int nr;  ///< Columns of a tile: width of a panel of b.

  int a_group;  ///< Panels of a that are best packed by one call.

  /// Writes n_lanes / width panels, rounded up, the next one panel_stride floats on: panel[k *
  /// width + lane] for k < n_k, lane < width as fp32; lanes from n_lanes on are zero. `width` is mr
  /// for pack_a, which writes at most a_group panels, and nr for pack_b, which writes one.
  void (*pack_a)(const GemmSource& source, int n_lanes, std::int64_t n_k, float* panels,
                 std::int64_t panel_stride);
  void (*pack_b)(const GemmSource& source, int n_lanes, std::int64_t n_k, float* panels,
                 std::int64_t panel_stride);

  /// sums[i * nr + j] (+)= sum over k of a[k * mr + i] * b[k * nr + j], k in order, for i < rows
  /// and j < cols rounded up to whole vectors. `adds`: to what is there, else to zero. With a
  /// target of contiguous rows, the result goes there as `store` says, and not to `sums`.
  /// `ahead` may be nullptr.
  void (*multiply)(std::int64_t n_k, const float* a, const float* b, float* sums, int rows,
                   int cols, bool adds, const GemmTarget* target, const GemmAhead* ahead);

  /// The same with a panel of b in fp16.
  void (*multiply_halves)(std::int64_t n_k, const float* a, const std::uint16_t* b, float* sums,
                          int rows, int cols, bool adds, const GemmTarget* target,
                          const GemmAhead* ahead);

  // Products with b in place, on tiles of their own.

  int lanes;      ///< Floats of a vector.
  int direct_mr;  ///< Rows of a tile: width of a panel of a.
  void (*pack_direct)(const GemmSource& source, int n_lanes, std::int64_t n_k, float* panel);
  /// Columns of a tile of `rows` rows, whole vectors: more for few rows.
  int (*direct_columns)(int rows);
  /// sums[i * sums_stride + j] (+)= sum over k of a[k * direct_mr + i] * b[row_offsets[k] + j], k
  /// in order, for i < rows and j < cols <= direct_columns(rows). Of the rows of b and of sums
  /// whole vectors are read, of sums written.
  void (*multiply_direct)(std::int64_t n_k, const float* a, const float* b,
                          const std::int64_t* row_offsets, float* sums, std::int64_t sums_stride,
                          int rows, int cols, bool adds);
  /// c = round(sums + bias per row) for rows <= direct_mr, contiguous in c. Of the rows of sums
  /// whole vectors are read.
  void (*store_direct)(const float* sums, std::int64_t sums_stride, int rows, int cols,
                       const GemmTarget& target);

  /// Elements 0, 2, ... of 2 * n fp16 or fp32 numbers to `even`, the others to `odd`, as fp32.
  void (*split_pairs)(const void* source, bool is_half, std::int64_t n, float* even, float* odd);

  /// c = round(sums * scale + bias (+ c)) for one tile of rows <= mr, cols <= nr.
  void (*store)(const float* sums, int rows, int cols, const GemmTarget& target);

  /// Multiply-adds on registers alone, as many independent ones as a tile has: the ceiling that a
  /// benchmark compares with. Returns their number for `n` rounds; `sink` keeps the results.
  double (*multiply_add_only)(std::int64_t n, float* sink);
};

/// For the instruction set in use.
const GemmKernel& active_gemm_kernel();

extern const GemmKernel kGemmKernelScalar;
#if defined(__x86_64__)
extern const GemmKernel kGemmKernelAvx2;
extern const GemmKernel kGemmKernelAvx512;
#elif defined(__aarch64__)
extern const GemmKernel kGemmKernelNeon;
#endif

}  // namespace pyane::linalg
