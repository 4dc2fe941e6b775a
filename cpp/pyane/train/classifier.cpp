#include "pyane/train/classifier.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "pyane/base/error.h"
#include "pyane/linalg/product.h"

namespace pyane {
namespace {

/// Terms of a sum over V that are added up before they go to the result: a sum of 32000 in one
/// piece would round more, and their logits do not stay in the cache.
constexpr std::size_t kSumChunk = 2048;

std::int64_t to_signed(std::size_t n) { return static_cast<std::int64_t>(n); }

/// Sequence b of [B, rows, cols] fp32.
linalg::GemmOperand matrix(std::size_t b, std::size_t rows, std::size_t cols) {
  return {.dtype = DType::kFp32,
          .row_stride = to_signed(cols),
          .col_stride = 1,
          .offsets = {to_signed(b * rows * cols)}};
}

linalg::GemmOperand transposed(linalg::GemmOperand x) {
  std::swap(x.row_stride, x.col_stride);
  return x;
}

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
  linalg::GemmSpec spec{
      .m = to_signed(shape.positions), .n = to_signed(vocab_size), .k = to_signed(shape.channels)};
  spec.b = transposed(matrix(0, vocab_size, shape.channels));
  for (std::size_t b = 0; b < shape.batch; ++b) {
    spec.a = transposed(matrix(b, shape.channels, shape.positions));
    spec.c = matrix(b, shape.positions, vocab_size);
    linalg::multiply(spec, x.data(), w.data(), logits.data());
  }
}

void classifier_backward(std::span<float> dx, std::span<const float> dlogits,
                         std::span<const float> w, const ActivationShape& shape) {
  const std::size_t vocab_size = check("classifier_backward", shape, dx.size(), "dx",
                                       dlogits.size(), "dlogits", w.size(), "w");
  if (vocab_size == 0) std::fill(dx.begin(), dx.end(), 0.0F);
  linalg::GemmSpec spec{.m = to_signed(shape.channels), .n = to_signed(shape.positions)};
  for (std::size_t v = 0; v < vocab_size; v += kSumChunk) {
    const std::size_t n = std::min(kSumChunk, vocab_size - v);
    spec.k = to_signed(n);
    spec.a = transposed(matrix(0, n, shape.channels));
    spec.adds_to_c = v != 0;
    for (std::size_t b = 0; b < shape.batch; ++b) {
      spec.b = transposed(matrix(b, shape.positions, vocab_size));
      spec.c = matrix(b, shape.channels, shape.positions);
      linalg::multiply(spec, w.data() + v * shape.channels, dlogits.data() + v, dx.data());
    }
  }
}

void classifier_weight_gradient(std::span<float> dw, std::span<const float> dlogits,
                                std::span<const float> x, const ActivationShape& shape,
                                float scale) {
  const std::size_t vocab_size = check("classifier_weight_gradient", shape, x.size(), "x",
                                       dlogits.size(), "dlogits", dw.size(), "dw");
  linalg::GemmSpec spec{.m = to_signed(vocab_size),
                        .n = to_signed(shape.channels),
                        .k = to_signed(shape.positions),
                        .scale = scale,
                        .adds_to_c = true};
  spec.c = matrix(0, vocab_size, shape.channels);
  for (std::size_t b = 0; b < shape.batch; ++b) {
    spec.a = transposed(matrix(b, shape.positions, vocab_size));
    spec.b = transposed(matrix(b, shape.channels, shape.positions));
    linalg::multiply(spec, dlogits.data(), x.data(), dw.data());
  }
}

}  // namespace pyane
