#include "pyane/train/classifier.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "pyane/base/error.h"
#include "pyane/base/thread_pool.h"
#include "pyane/linalg/sgemm.h"

namespace pyane {
namespace {

using linalg::sgemm;
using linalg::Transpose;

/// Rows of the sum over V that one product adds up.
constexpr std::size_t kSumChunk = 2048;

/// Vocabulary rows of one task: some 32 tasks for a large vocabulary, and never so few rows that
/// packing x again for each task costs much.
std::size_t vocab_block(std::size_t vocab_size) {
  const std::size_t block = (vocab_size / 32 + 63) / 64 * 64;
  return std::clamp<std::size_t>(block, 64, 1024);
}

std::size_t ceil_divide(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

std::int64_t to_signed(std::size_t n) { return static_cast<std::int64_t>(n); }

/// V, from the lengths of w [V, C].
std::size_t check(const char* where, const ActivationShape& shape, std::size_t x,
                  const char* x_name, std::size_t logits, const char* logits_name, std::size_t w,
                  const char* w_name) {
  check_shape(where, shape);
  check_size(where, x_name, "[B, C, S]", x, shape.size());
  if (w % shape.channels != 0) {
    throw ShapeError(std::string(where) + ": " + w_name + " [V, C] must have a multiple of C = " +
                     std::to_string(shape.channels) + " elements, got " + std::to_string(w));
  }
  const std::size_t vocab_size = w / shape.channels;
  check_size(where, logits_name, "[B * S, V]", logits, shape.batch * shape.positions * vocab_size);
  return vocab_size;
}

}  // namespace

void classifier_forward(std::span<float> logits, std::span<const float> x, std::span<const float> w,
                        const ActivationShape& shape) {
  const std::size_t vocab_size =
      check("classifier_forward", shape, x.size(), "x", logits.size(), "logits", w.size(), "w");
  if (logits.empty()) return;
  const std::size_t block = vocab_block(vocab_size);
  parallel_for(shape.batch * ceil_divide(vocab_size, block), [&](std::size_t task) {
    // b inside: the block of W stays in cache for all sequences.
    const std::size_t b = task % shape.batch;
    const std::size_t v = task / shape.batch * block;
    sgemm(Transpose::kYes, Transpose::kYes, to_signed(shape.positions),
          to_signed(std::min(block, vocab_size - v)), to_signed(shape.channels), 1.0F,
          x.data() + b * shape.channels * shape.positions, to_signed(shape.positions),
          w.data() + v * shape.channels, to_signed(shape.channels), 0.0F,
          logits.data() + b * shape.positions * vocab_size + v, to_signed(vocab_size));
  });
}

void classifier_backward(std::span<float> dx, std::span<const float> dlogits,
                         std::span<const float> w, const ActivationShape& shape) {
  const std::size_t vocab_size = check("classifier_backward", shape, dx.size(), "dx",
                                       dlogits.size(), "dlogits", w.size(), "w");
  if (vocab_size == 0) std::fill(dx.begin(), dx.end(), 0.0F);
  if (dlogits.empty()) return;
  const std::size_t n_chunks = ceil_divide(vocab_size, kSumChunk);
  const std::size_t sequence = shape.channels * shape.positions;
  // The first chunk of every sequence goes to dx itself, the others beside it.
  const auto parts = std::make_unique_for_overwrite<float[]>((n_chunks - 1) * dx.size());
  parallel_for(shape.batch * n_chunks, [&](std::size_t task) {
    const std::size_t b = task % shape.batch;
    const std::size_t chunk = task / shape.batch;
    const std::size_t v = chunk * kSumChunk;
    float* target = chunk == 0 ? dx.data() : parts.get() + (chunk - 1) * dx.size();
    sgemm(Transpose::kYes, Transpose::kYes, to_signed(shape.channels), to_signed(shape.positions),
          to_signed(std::min(kSumChunk, vocab_size - v)), 1.0F, w.data() + v * shape.channels,
          to_signed(shape.channels), dlogits.data() + b * shape.positions * vocab_size + v,
          to_signed(vocab_size), 0.0F, target + b * sequence, to_signed(shape.positions));
  });
  constexpr std::size_t kAddBlock = 8192;
  parallel_for(n_chunks == 1 ? 0 : ceil_divide(dx.size(), kAddBlock), [&](std::size_t task) {
    const std::size_t begin = task * kAddBlock;
    const std::size_t end = std::min(dx.size(), begin + kAddBlock);
    for (std::size_t chunk = 1; chunk < n_chunks; ++chunk) {
      const float* part = parts.get() + (chunk - 1) * dx.size();
      for (std::size_t i = begin; i < end; ++i) dx[i] += part[i];
    }
  });
}

void classifier_weight_gradient(std::span<float> dw, std::span<const float> dlogits,
                                std::span<const float> x, const ActivationShape& shape,
                                float scale) {
  const std::size_t vocab_size = check("classifier_weight_gradient", shape, x.size(), "x",
                                       dlogits.size(), "dlogits", dw.size(), "dw");
  if (dlogits.empty()) return;
  const std::size_t block = vocab_block(vocab_size);
  parallel_for(ceil_divide(vocab_size, block), [&](std::size_t task) {
    const std::size_t v = task * block;
    for (std::size_t b = 0; b < shape.batch; ++b) {
      sgemm(Transpose::kYes, Transpose::kYes, to_signed(std::min(block, vocab_size - v)),
            to_signed(shape.channels), to_signed(shape.positions), scale,
            dlogits.data() + b * shape.positions * vocab_size + v, to_signed(vocab_size),
            x.data() + b * shape.channels * shape.positions, to_signed(shape.positions), 1.0F,
            dw.data() + v * shape.channels, to_signed(shape.channels));
    }
  });
}

}  // namespace pyane
