#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "pyane/base/half.h"
#include "pyane/base/thread_pool.h"

namespace pyane {
namespace {

/// Rows and columns of a tile: two cache lines of fp16 to be written at once, and 8 KiB in all.
constexpr std::size_t kTile = 64;
constexpr std::size_t kLanes = 8;
/// Of one thread, about.
constexpr std::size_t kElementsPerNs = 2;

using Halves = half_bits __attribute__((vector_size(kLanes * sizeof(half_bits))));
using Tile = std::array<half_bits, kTile * kTile>;

Halves low_halves(Halves a, Halves b) {
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
Halves high_halves(Halves a, Halves b) {
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

/// 8 x 8: three perfect shuffles of the rows.
void transpose_block(const half_bits* source, half_bits* target, std::size_t target_stride) {
  Halves rows[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) {
    std::memcpy(&rows[i], source + i * kTile, sizeof(Halves));
  }
  for (int step = 0; step < 3; ++step) {
    Halves next[kLanes];
    for (std::size_t i = 0; i < kLanes / 2; ++i) {
      next[2 * i] = low_halves(rows[i], rows[i + kLanes / 2]);
      next[2 * i + 1] = high_halves(rows[i], rows[i + kLanes / 2]);
    }
    std::copy(next, next + kLanes, rows);
  }
  for (std::size_t i = 0; i < kLanes; ++i) {
    std::memcpy(target + i * target_stride, &rows[i], sizeof(Halves));
  }
}

/// @param target  [n_cols, n_rows], rows `target_stride` apart.
void transpose_tile(const Tile& tile, half_bits* target, std::size_t target_stride,
                    std::size_t n_rows, std::size_t n_cols) {
  const std::size_t whole_rows = n_rows / kLanes * kLanes;
  const std::size_t whole_cols = n_cols / kLanes * kLanes;
  for (std::size_t c = 0; c < whole_cols; c += kLanes) {
    for (std::size_t r = 0; r < whole_rows; r += kLanes) {
      transpose_block(tile.data() + r * kTile + c, target + c * target_stride + r, target_stride);
    }
  }
  for (std::size_t c = 0; c < n_cols; ++c) {
    for (std::size_t r = c < whole_cols ? whole_rows : 0; r < n_rows; ++r) {
      target[c * target_stride + r] = tile[r * kTile + c];
    }
  }
}

}  // namespace

void float_to_half_transposed(const float* source, half_bits* target, std::size_t rows,
                              std::size_t cols) {
  const std::chrono::nanoseconds work(rows * cols / kElementsPerNs);
  parallel_for((cols + kTile - 1) / kTile, work, [&](std::size_t stripe) {
    const std::size_t c = stripe * kTile;
    const std::size_t n_cols = std::min(kTile, cols - c);
    Tile tile;
    for (std::size_t r = 0; r < rows; r += kTile) {
      const std::size_t n_rows = std::min(kTile, rows - r);
      for (std::size_t i = 0; i < n_rows; ++i) {
        float_to_half(source + (r + i) * cols + c, tile.data() + i * kTile, n_cols);
      }
      transpose_tile(tile, target + c * rows + r, rows, n_rows, n_cols);
    }
  });
}

}  // namespace pyane
