#include "pyane/train/rmsnorm.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <vector>

#include "pyane/base/thread_pool.h"
#include "pyane/train/vectorize.h"

namespace pyane {
namespace {

using BlockOfFloats = std::array<float, kPositionBlock>;
using BlockOfDoubles = std::array<double, kPositionBlock>;

/// Positions [s, s + n) of one sequence.
struct Block {
  std::size_t first;  ///< Offset of [b, 0, s].
  std::size_t n;
};

std::size_t blocks_per_sequence(const ActivationShape& shape) {
  return (shape.positions + kPositionBlock - 1) / kPositionBlock;
}

Block block_at(const ActivationShape& shape, std::size_t index) {
  const std::size_t per_sequence = blocks_per_sequence(shape);
  const std::size_t s = index % per_sequence * kPositionBlock;
  return {.first = index / per_sequence * shape.channels * shape.positions + s,
          .n = std::min(kPositionBlock, shape.positions - s)};
}

void check(const char* where, const ActivationShape& shape, std::size_t x, std::size_t w) {
  check_shape(where, shape);
  check_size(where, "x", "[B, C, S]", x, shape.size());
  check_size(where, "w", "[C]", w, shape.channels);
}

/// S is innermost, so c is walked outside and every position of the block has its own sum.
void forward_block(Floats y, ConstFloats x, const float* w, const ActivationShape& shape, float eps,
                   const Block& block) {
  vectorized([&]() PYANE_INLINE {
    BlockOfFloats x_scratch;
    BlockOfFloats y_scratch;
    BlockOfDoubles squares = {};
    const std::size_t n = block.n;
    for (std::size_t c = 0; c < shape.channels; ++c) {
      const float* x_row = x.read(block.first + c * shape.positions, n, x_scratch.data());
      for (std::size_t s = 0; s < n; ++s) {
        const double value = x_row[s];
        squares[s] += value * value;
      }
    }
    BlockOfFloats r;
    const double inverse_c = 1.0 / static_cast<double>(shape.channels);
    for (std::size_t s = 0; s < n; ++s) {
      r[s] = static_cast<float>(1.0 / std::sqrt(squares[s] * inverse_c + eps));
    }
    for (std::size_t c = 0; c < shape.channels; ++c) {
      const std::size_t offset = block.first + c * shape.positions;
      const float* x_row = x.read(offset, n, x_scratch.data());
      float* y_row = y.open(offset, n, y_scratch.data(), false);
      const float weight = w[c];
      for (std::size_t s = 0; s < n; ++s) y_row[s] = x_row[s] * r[s] * weight;
      y.commit(offset, n, y_row);
    }
  });
}

/// @param dw_part  [C] out: this block's share of dw.
void backward_block(Floats dx, double* dw_part, ConstFloats dy, ConstFloats x, const float* w,
                    const ActivationShape& shape, const RmsnormBackwardOptions& options,
                    const Block& block) {
  vectorized([&]() PYANE_INLINE {
    BlockOfFloats dy_scratch;
    BlockOfFloats x_scratch;
    BlockOfFloats dx_scratch;
    BlockOfDoubles squares = {};
    BlockOfDoubles dots = {};
    const std::size_t n = block.n;
    for (std::size_t c = 0; c < shape.channels; ++c) {
      const std::size_t offset = block.first + c * shape.positions;
      const float* x_row = x.read(offset, n, x_scratch.data());
      const float* dy_row = dy.read(offset, n, dy_scratch.data());
      const double weight = w[c];
      for (std::size_t s = 0; s < n; ++s) {
        const double value = x_row[s];
        squares[s] += value * value;
        dots[s] += weight * dy_row[s] * value;
      }
    }
    BlockOfFloats r;
    BlockOfFloats k;  // r^2 / C * dot
    const double inverse_c = 1.0 / static_cast<double>(shape.channels);
    for (std::size_t s = 0; s < n; ++s) {
      const double r_squared = 1.0 / (squares[s] * inverse_c + options.eps);
      r[s] = static_cast<float>(std::sqrt(r_squared));
      k[s] = static_cast<float>(r_squared * inverse_c * dots[s]);
    }
    for (std::size_t c = 0; c < shape.channels; ++c) {
      const std::size_t offset = block.first + c * shape.positions;
      const float* x_row = x.read(offset, n, x_scratch.data());
      const float* dy_row = dy.read(offset, n, dy_scratch.data());
      float* dx_row = dx.open(offset, n, dx_scratch.data(), options.accumulate_dx);
      const float weight = w[c];
      if (options.accumulate_dx) {
        for (std::size_t s = 0; s < n; ++s) {
          dx_row[s] += r[s] * (weight * dy_row[s] - x_row[s] * k[s]);
        }
      } else {
        for (std::size_t s = 0; s < n; ++s) {
          dx_row[s] = r[s] * (weight * dy_row[s] - x_row[s] * k[s]);
        }
      }
      dx.commit(offset, n, dx_row);
      double lanes[kLanes] = {};
      static_assert(kLanes == kPositionBlock);
      for (std::size_t s = 0; s < n; ++s) {
        lanes[s] = static_cast<double>(dy_row[s]) * x_row[s] * r[s];
      }
      dw_part[c] = sum_lanes(lanes);
    }
  });
}

}  // namespace

void rmsnorm_forward(Floats y, ConstFloats x, std::span<const float> w,
                     const ActivationShape& shape, float eps) {
  check("rmsnorm_forward", shape, x.size(), w.size());
  check_size("rmsnorm_forward", "y", "[B, C, S]", y.size(), shape.size());
  const std::chrono::nanoseconds work(shape.size() / 2);
  parallel_for(shape.batch * blocks_per_sequence(shape), work, [&](std::size_t i) {
    forward_block(y, x, w.data(), shape, eps, block_at(shape, i));
  });
}

void rmsnorm_backward(Floats dx, std::span<float> dw, ConstFloats dy, ConstFloats x,
                      std::span<const float> w, const ActivationShape& shape,
                      const RmsnormBackwardOptions& options) {
  check("rmsnorm_backward", shape, x.size(), w.size());
  check_size("rmsnorm_backward", "dy", "[B, C, S]", dy.size(), shape.size());
  check_size("rmsnorm_backward", "dx", "[B, C, S]", dx.size(), shape.size());
  check_size("rmsnorm_backward", "dw", "[C]", dw.size(), shape.channels);
  const std::size_t n_blocks = shape.batch * blocks_per_sequence(shape);
  // One row of partial sums per block, added in order afterwards: no order depends on threads.
  std::vector<double> dw_parts(n_blocks * shape.channels);
  parallel_for(n_blocks, std::chrono::nanoseconds(2 * shape.size()), [&](std::size_t i) {
    backward_block(dx, dw_parts.data() + i * shape.channels, dy, x, w.data(), shape, options,
                   block_at(shape, i));
  });
  for (std::size_t i = 1; i < n_blocks; ++i) {
    const double* part = dw_parts.data() + i * shape.channels;
    for (std::size_t c = 0; c < shape.channels; ++c) dw_parts[c] += part[c];
  }
  if (n_blocks == 0) return;
  for (std::size_t c = 0; c < shape.channels; ++c) {
    dw[c] += static_cast<float>(options.dw_scale * dw_parts[c]);
  }
}

}  // namespace pyane
