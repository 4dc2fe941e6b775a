#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "check.h"
#include "pyane/base/cpu.h"
#include "pyane/emulator/kernels/attention_tiles.h"

// Memory of attention_tiles.cpp, for the sanitizers: awkward sizes, every layout and mask, on every
// instruction set, in buffers without a byte to spare. Its bits are tested from Python.

namespace {

using namespace pyane;
using namespace pyane::emulator;
using linalg::GemmOperand;

using Floats = std::unique_ptr<float[]>;  // The sanitizers see its end.

Floats numbers(std::int64_t n, int seed) {
  Floats x(new float[static_cast<std::size_t>(n)]);
  for (std::int64_t i = 0; i < n; ++i) {
    x[static_cast<std::size_t>(i)] = static_cast<float>((i * 37 + seed) % 23 - 11) / 8.0F;
  }
  return x;
}

GemmOperand matrices(std::int64_t n, std::int64_t rows, std::int64_t cols, bool is_turned) {
  GemmOperand x{.dtype = DType::kFp32,
                .row_stride = is_turned ? 1 : cols,
                .col_stride = is_turned ? rows : 1,
                .offsets = {}};
  for (std::int64_t i = 0; i < n; ++i) x.offsets.push_back(i * rows * cols);
  return x;
}

TensorView view(float* data) {
  TensorView x;
  x.dtype = DType::kFp32;
  x.data = reinterpret_cast<std::byte*>(data);
  return x;
}

struct Sizes {
  std::int64_t heads, queries, keys, width, value_width;
};

/// One element of the result, in fp64.
double exact(const Sizes& s, const AttentionSpec& spec, const Floats& query, const Floats& key,
             const Floats& value, const Floats& mask, std::int64_t head, std::int64_t i,
             std::int64_t d) {
  const auto at = [head](const GemmOperand& x, const Floats& data, std::int64_t row,
                         std::int64_t col) {
    const std::int64_t offset = x.offsets[static_cast<std::size_t>(head)];
    return static_cast<double>(
        data[static_cast<std::size_t>(offset + row * x.row_stride + col * x.col_stride)]);
  };
  double sum = 0;
  double result = 0;
  for (std::int64_t j = 0; j < s.keys; ++j) {
    double score = spec.has_mask ? at(spec.mask, mask, i, j) : 0;
    for (std::int64_t k = 0; k < s.width; ++k) {
      score += at(spec.query, query, i, k) * at(spec.key, key, j, k) * 0.25;
    }
    sum += std::exp(score);
    result += std::exp(score) * at(spec.value, value, j, d);
  }
  return result / sum;
}

void check(const Sizes& s, bool is_turned, bool has_mask, bool is_constant) {
  AttentionSpec spec{.n_heads = s.heads,
                     .n_queries = s.queries,
                     .n_keys = s.keys,
                     .width = s.width,
                     .value_width = s.value_width};
  spec.query = matrices(s.heads, s.queries, s.width, is_turned);
  spec.key = matrices(s.heads, s.keys, s.width, !is_turned);
  spec.value = matrices(s.heads, s.keys, s.value_width, is_turned);
  spec.out = matrices(s.heads, s.queries, s.value_width, is_turned);
  spec.dtype = DType::kFp32;
  spec.product_scale = 0.25F;
  spec.has_mask = has_mask;
  spec.mask = matrices(s.heads, s.queries, s.keys, false);
  spec.stores_weights = !is_turned;
  spec.weights = matrices(s.heads, s.queries, s.keys, false);
  const Floats query = numbers(s.heads * s.queries * s.width, 1);
  const Floats key = numbers(s.heads * s.keys * s.width, 2);
  const Floats value = numbers(s.heads * s.keys * s.value_width, 3);
  const Floats mask = numbers(s.heads * s.queries * s.keys, 4);
  const Floats out = numbers(s.heads * s.queries * s.value_width, 5);
  const Floats weights = numbers(s.heads * s.queries * s.keys, 6);

  const auto* constant = reinterpret_cast<const std::byte*>(mask.get());
  const auto step = make_attention(spec, has_mask && is_constant ? constant : nullptr);
  const std::array inputs = {view(query.get()), view(key.get()), view(value.get()),
                             view(mask.get())};
  const std::array outputs = {view(out.get()), view(weights.get())};
  step->run({.inputs = inputs, .outputs = outputs});

  for (std::int64_t head = 0; head < s.heads; head += s.heads == 1 ? 1 : s.heads - 1) {
    for (const std::int64_t i : {std::int64_t{0}, s.queries - 1}) {
      for (const std::int64_t d : {std::int64_t{0}, s.value_width - 1}) {
        const std::int64_t at = spec.out.offsets[static_cast<std::size_t>(head)] +
                                i * spec.out.row_stride + d * spec.out.col_stride;
        const double expected = exact(s, spec, query, key, value, mask, head, i, d);
        // Weights and values below 2 in magnitude; sums of a few hundred terms in fp32.
        CHECK(std::abs(static_cast<double>(out[static_cast<std::size_t>(at)]) - expected) < 1e-4);
      }
    }
  }
}

}  // namespace

int main() {
  for (const Isa isa : available_isas()) {
    set_isa(isa_name(isa));
    for (const Sizes& sizes : {Sizes{1, 1, 1, 1, 1}, Sizes{2, 17, 19, 5, 3},
                               Sizes{3, 65, 129, 7, 33}, Sizes{1, 130, 67, 64, 16}}) {
      for (int kind = 0; kind < 6; ++kind) {
        check(sizes, kind % 2 == 0, kind / 2 > 0, kind / 2 > 1);
      }
    }
  }
  return 0;
}
