#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "pyane/base/half.h"
#include "pyane/linalg/gemm.h"
#include "pyane/linalg/gemm_kernel.h"

// One operand of a matrix product as the product reads it: in panels, packed at once or as needed.

namespace pyane::linalg {

constexpr std::size_t kGemmAlign = 64;

struct AlignedDelete {
  void operator()(void* p) const { ::operator delete[](p, std::align_val_t{kGemmAlign}); }
};
template <typename T>
using Aligned = std::unique_ptr<T[], AlignedDelete>;
using AlignedFloats = Aligned<float>;
using AlignedHalves = Aligned<half_bits>;

template <typename T>
Aligned<T> allocate_aligned(std::int64_t n) {
  const auto n_bytes = static_cast<std::size_t>(n) * sizeof(T);
  return Aligned<T>(static_cast<T*>(::operator new[](n_bytes, std::align_val_t{kGemmAlign})));
}

/// Memory that grows to the most it was ever asked for; what it held is lost then.
class GrowingFloats {
 public:
  float* get(std::int64_t n);

 private:
  AlignedFloats memory_;
  std::int64_t size_ = 0;
};

/// Of the calling thread: a task's own panels and sums.
float* thread_floats(std::int64_t n);

/// Rows of a or columns of b ("lanes"): how they are read, cut into panels and blocks.
struct GemmSide {
  using Index = std::int64_t;

  bool is_half = false;
  Index lane_stride = 0;
  Index k_stride = 0;
  std::vector<Index> lane_offsets;  ///< Empty: strides.
  std::vector<Index> k_offsets;
  std::vector<Index> matrices;     ///< Offsets of the different matrices of the batch.
  std::vector<std::size_t> which;  ///< Product -> index into matrices.

  Index n_lanes = 0;
  Index n_k = 0;
  int width = 0;       ///< Lanes of a panel.
  Index group = 1;     ///< Panels that are packed together.
  Index n_panels = 0;  ///< Of one matrix.
  Index block = 0;     ///< Panels of a task, at most.
  Index n_blocks = 0;
  void (*pack)(const GemmSource&, int, Index, float*, Index) = nullptr;

  AlignedFloats packed;         ///< Of a constant operand of fp32.
  AlignedHalves packed_halves;  ///< Of one of fp16.
  bool is_shared = false;
  std::size_t scratch_at = 0;  ///< Of the shared panels.

  GemmSide() = default;
  /// Of an operand whose rows are the lanes.
  GemmSide(const GemmOperand& x, Index n_lanes_, Index n_k_, int width_);

  Index first_panel(Index of_block) const { return of_block * n_panels / n_blocks; }
  Index matrix_floats() const { return n_panels * width * n_k; }
  Index all_floats() const { return matrix_floats() * static_cast<Index>(matrices.size()); }
  const half_bits* halves_at(std::size_t matrix, Index panel, Index k) const {
    return packed_halves.get() +
           ((static_cast<Index>(matrix) * n_panels + panel) * n_k + k) * width;
  }

  /// Cuts into `n` blocks whose sizes differ by a panel at most, 0 < n <= n_panels.
  void set_blocks(Index n);

  /// Packs `count` panels from `panel` on for k in [k, k + n); they follow each other in target.
  void pack_panels(const void* data, std::size_t matrix, Index panel, Index count, Index k, Index n,
                   float* target) const;
  /// Packs whole panels of every matrix, [matrix][panel][k][lane].
  void pack_all(const void* data, float* target) const;
  /// The same of a constant operand, once; fp16 stays fp16.
  void pack_for_good(const void* data);

 private:
  /// Calls pack_group(matrix, first panel, panels) for the groups of every matrix, in parallel.
  template <typename PackGroup>
  void for_groups(const PackGroup& pack_group) const;
};

}  // namespace pyane::linalg
