#include "pyane/linalg/gemm_side.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "pyane/base/divide.h"
#include "pyane/base/thread_pool.h"

namespace pyane::linalg {
float* GrowingFloats::get(std::int64_t n) {
  if (size_ < n) {
    memory_.reset();
    size_ = 0;
    memory_ = allocate_aligned<float>(n);
    size_ = n;
  }
  return memory_.get();
}

float* thread_floats(std::int64_t n) {
  thread_local GrowingFloats memory;
  return memory.get(n);
}

GemmSide::GemmSide(const GemmOperand& x, Index n_lanes_, Index n_k_, int width_)
    : is_half(x.dtype == DType::kFp16),
      lane_stride(x.row_stride),
      k_stride(x.col_stride),
      lane_offsets(x.row_offsets),
      k_offsets(x.col_offsets),
      matrices(x.offsets),
      n_lanes(n_lanes_),
      n_k(n_k_),
      width(width_),
      n_panels(divide_up(n_lanes_, width_)) {
  std::sort(matrices.begin(), matrices.end());
  matrices.erase(std::unique(matrices.begin(), matrices.end()), matrices.end());
  for (const Index offset : x.offsets) {
    const auto found = std::lower_bound(matrices.begin(), matrices.end(), offset);
    which.push_back(static_cast<std::size_t>(found - matrices.begin()));
  }
}

void GemmSide::set_blocks(Index n) {
  n_blocks = n;
  block = divide_up(n_panels, n_blocks);
}

void GemmSide::pack_panels(const void* data, std::size_t matrix, Index panel, Index count, Index k,
                           Index n, float* target) const {
  if (packed_halves != nullptr) {
    for (Index i = 0; i < count; ++i) {
      half_to_float(halves_at(matrix, panel + i, k), target + i * width * n,
                    static_cast<std::size_t>(n * width));
    }
    return;
  }
  for (Index first = panel; first < panel + count; first += group) {
    const Index lane = first * width;
    Index offset = matrices[matrix];
    GemmSource source{.data = nullptr,
                      .is_half = is_half,
                      .lane_stride = lane_stride,
                      .k_stride = k_stride,
                      .lane_offsets = nullptr,
                      .k_offsets = nullptr};
    if (lane_offsets.empty()) {
      offset += lane * lane_stride + k * k_stride;
    } else {
      source.lane_offsets = lane_offsets.data() + lane;
      source.k_offsets = k_offsets.data() + k;
    }
    source.data = static_cast<const std::byte*>(data) + offset * (is_half ? 2 : 4);
    const Index here = std::min(group, panel + count - first);
    pack(source, static_cast<int>(std::min(here * width, n_lanes - lane)), n,
         target + (first - panel) * width * n, width * n);
  }
}

template <typename PackGroup>
void GemmSide::for_groups(const PackGroup& pack_group) const {
  const auto groups = static_cast<std::size_t>(divide_up(n_panels, group));
  // Packing takes about as long as reading from the second-level cache.
  const std::chrono::nanoseconds work(all_floats() / 4);
  parallel_for(groups * matrices.size(), work, [&](std::size_t task) {
    const Index first = static_cast<Index>(task % groups) * group;
    pack_group(task / groups, first, std::min(group, n_panels - first));
  });
}

void GemmSide::pack_all(const void* data, float* target) const {
  for_groups([&](std::size_t matrix, Index first, Index count) {
    pack_panels(data, matrix, first, count, 0, n_k,
                target + (static_cast<Index>(matrix) * n_panels + first) * width * n_k);
  });
}

void GemmSide::pack_for_good(const void* data) {
  if (!is_half) {
    packed = allocate_aligned<float>(all_floats());
    pack_all(data, packed.get());
    return;
  }
  auto halves = allocate_aligned<half_bits>(all_floats());
  for_groups([&](std::size_t matrix, Index first, Index count) {
    float* panels = thread_floats(count * width * n_k);
    pack_panels(data, matrix, first, count, 0, n_k, panels);
    float_to_half(panels,
                  halves.get() + (static_cast<Index>(matrix) * n_panels + first) * width * n_k,
                  static_cast<std::size_t>(count * width * n_k));
  });
  packed_halves = std::move(halves);
}

}  // namespace pyane::linalg
