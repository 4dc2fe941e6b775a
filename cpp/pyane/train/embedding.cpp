#include "pyane/train/embedding.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>

#include "pyane/base/error.h"
#include "pyane/base/thread_pool.h"
#include "pyane/train/vectorize.h"

namespace pyane {
namespace {

/// A table row is contiguous in c and an activation row in s, so both directions go through a tile
/// of kTileChannels x kPositionBlock numbers in L1.
constexpr std::size_t kTileChannels = 16;

/// Channels of one backward task. Tasks own channels, not positions: two positions may share a row.
constexpr std::size_t kBackwardChannels = 32;

void check(const char* where, const char* table_name, std::size_t table, const char* x_name,
           std::size_t x, std::span<const std::int32_t> tokens, const ActivationShape& shape) {
  check_shape(where, shape);
  check_size(where, x_name, "[B, C, S]", x, shape.size());
  check_size(where, "tokens", "[B, S]", tokens.size(), shape.batch * shape.positions);
  const std::string name = where;
  if (table % shape.channels != 0) {
    throw ShapeError(name + ": " + table_name + " [V, C] must have a multiple of C = " +
                     std::to_string(shape.channels) + " elements, got " + std::to_string(table));
  }
  const std::size_t vocab_size = table / shape.channels;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && static_cast<std::size_t>(tokens[i]) < vocab_size) continue;
    throw ShapeError(name + ": token " + std::to_string(tokens[i]) + " at position " +
                     std::to_string(i % shape.positions) + " of sequence " +
                     std::to_string(i / shape.positions) + " is outside [0, " +
                     std::to_string(vocab_size) + ")");
  }
}

}  // namespace

void embedding_forward(Floats x, std::span<const float> table, std::span<const std::int32_t> tokens,
                       const ActivationShape& shape) {
  check("embedding_forward", "table", table.size(), "x", x.size(), tokens, shape);
  const std::size_t blocks = (shape.positions + kPositionBlock - 1) / kPositionBlock;
  parallel_for(shape.batch * blocks, std::chrono::nanoseconds(shape.size()), [&](std::size_t task) {
    const std::size_t b = task / blocks;
    const std::size_t s0 = task % blocks * kPositionBlock;
    const std::size_t n = std::min(kPositionBlock, shape.positions - s0);
    const std::int32_t* block_tokens = tokens.data() + b * shape.positions + s0;
    std::array<float, kTileChannels * kPositionBlock> tile;
    std::array<float, kPositionBlock> scratch;
    for (std::size_t c0 = 0; c0 < shape.channels; c0 += kTileChannels) {
      const std::size_t n_channels = std::min(kTileChannels, shape.channels - c0);
      for (std::size_t s = 0; s < n; ++s) {
        const float* row =
            table.data() + static_cast<std::size_t>(block_tokens[s]) * shape.channels + c0;
        for (std::size_t c = 0; c < n_channels; ++c) tile[c * kPositionBlock + s] = row[c];
      }
      for (std::size_t c = 0; c < n_channels; ++c) {
        const std::size_t offset = (b * shape.channels + c0 + c) * shape.positions + s0;
        float* x_row = x.open(offset, n, scratch.data(), false);
        std::copy_n(tile.data() + c * kPositionBlock, n, x_row);
        x.commit(offset, n, x_row);
      }
    }
  });
}

void embedding_backward(std::span<float> dtable, ConstFloats dx,
                        std::span<const std::int32_t> tokens, const ActivationShape& shape,
                        float scale) {
  check("embedding_backward", "dtable", dtable.size(), "dx", dx.size(), tokens, shape);
  const std::size_t n_tasks = (shape.channels + kBackwardChannels - 1) / kBackwardChannels;
  parallel_for(n_tasks, std::chrono::nanoseconds(shape.size()), [&](std::size_t task) {
    const std::size_t c0 = task * kBackwardChannels;
    const std::size_t n_channels = std::min(kBackwardChannels, shape.channels - c0);
    std::array<float, kPositionBlock * kBackwardChannels> tile;
    std::array<float, kPositionBlock> scratch;
    for (std::size_t b = 0; b < shape.batch; ++b) {
      for (std::size_t s0 = 0; s0 < shape.positions; s0 += kPositionBlock) {
        const std::size_t n = std::min(kPositionBlock, shape.positions - s0);
        for (std::size_t c = 0; c < n_channels; ++c) {
          const std::size_t offset = (b * shape.channels + c0 + c) * shape.positions + s0;
          const float* dx_row = dx.read(offset, n, scratch.data());
          for (std::size_t s = 0; s < n; ++s) tile[s * kBackwardChannels + c] = dx_row[s] * scale;
        }
        const std::int32_t* block_tokens = tokens.data() + b * shape.positions + s0;
        for (std::size_t s = 0; s < n; ++s) {
          float* row =
              dtable.data() + static_cast<std::size_t>(block_tokens[s]) * shape.channels + c0;
          const float* tile_row = tile.data() + s * kBackwardChannels;
          for (std::size_t c = 0; c < n_channels; ++c) row[c] += tile_row[c];
        }
      }
    }
  });
}

}  // namespace pyane
