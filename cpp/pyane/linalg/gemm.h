#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "pyane/base/dtype.h"

namespace pyane::linalg {

/// How one operand of a product lies in memory: element (i, j) of product p is at
/// data[offsets[p] + i * row_stride + j * col_stride], all in elements; strides of any sign, 0
/// included. For `a` and `b`: with `row_offsets` and `col_offsets` (both or none) it is
/// at data[offsets[p] + row_offsets[i] + col_offsets[j]] instead, which lets a convolution take its
/// patches straight from the image.
struct GemmOperand {
  DType dtype = DType::kFp16;  ///< kFp16 or kFp32.
  std::int64_t row_stride = 0;
  std::int64_t col_stride = 0;
  /// One per product of the batch. Equal entries mean the same matrix (a broadcast operand), which
  /// is then converted once. Offsets of `c` must differ.
  std::vector<std::int64_t> offsets = {0};
  std::vector<std::int64_t> row_offsets = {};
  std::vector<std::int64_t> col_offsets = {};
};

enum class GemmBias : std::uint8_t {
  kNone,
  kPerRow,     ///< bias[m], added to every column.
  kPerColumn,  ///< bias[n], added to every row.
};

/// A batch of products c = (c +) scale * a @ b (+ bias): a is [m, k], b is [k, n], c is [m, n].
struct GemmSpec {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  GemmOperand a = {};
  GemmOperand b = {};
  GemmOperand c = {};
  GemmBias bias = GemmBias::kNone;
  DType bias_dtype = DType::kFp16;  ///< kFp16 or kFp32; contiguous.
  /// One per product, in elements; empty: every product takes the same bias.
  std::vector<std::int64_t> bias_offsets = {};
  float scale = 1.0F;
  bool adds_to_c = false;
};

/// A planned batch of matrix products with fp32 accumulation: every element of c is
/// ((0 + a[i,0] b[0,j]) + a[i,1] b[1,j]) + ... + bias in fp32, in this order whatever the blocking,
/// rounded once to c's dtype; times `scale` before the bias, and the old c after it, if asked for.
/// So results do not depend on the number of threads. Products are fused into the sums (FMA) where
/// the CPU can.
///
/// k = 0 gives the bias, or zero. `run` may be called from several threads at once, each with a
/// scratch of its own.
class Gemm {
 public:
  /// @throws ShapeError  negative sizes, dtypes other than fp16 and fp32, lists of offsets of
  /// the wrong length.
  explicit Gemm(GemmSpec spec);
  Gemm(Gemm&&) noexcept;
  Gemm& operator=(Gemm&&) noexcept;
  ~Gemm();

  const GemmSpec& spec() const;

  /// Converts a constant operand once, at plan time; `run` then ignores its pointer for it. false:
  /// nothing was done, because converting it every time is no slower (fp32 in products with few
  /// rows or columns, which only read it once), and `run` needs the pointer as before.
  bool pack_a(const void* a);
  bool pack_b(const void* b);

  /// Bytes of scratch `run` needs, 64-byte aligned; may be 0. Ask after packing constants.
  std::size_t scratch_bytes() const;

  /// Does not allocate (but for a thread's first product, which sets up its panels). `c` may not
  /// overlap an operand. `bias` is ignored when the spec has none.
  void run(const void* a, const void* b, const void* bias, void* c, std::byte* scratch) const;

  /// The same with scratch that the calling thread keeps for its next product.
  void run(const void* a, const void* b, const void* bias, void* c) const;

 private:
  struct Plan;
  std::unique_ptr<Plan> plan_;
};

/// Measured ceiling of fp32 multiply-adds of `threads` threads together on the active instruction
/// set, in GFLOP/s (a multiply-add is 2): the best of several short runs (base/best_rate.h) on
/// registers alone. Takes about 50 ms.
double measure_fma_gflops(int threads = 1);

}  // namespace pyane::linalg
