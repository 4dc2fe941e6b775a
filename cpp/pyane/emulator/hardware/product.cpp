#include "pyane/emulator/hardware/product.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "pyane/base/half.h"
#include "pyane/base/thread_pool.h"
#include "pyane/emulator/hardware/accumulator.h"
#include "pyane/emulator/hardware/values.h"
#include "pyane/emulator/scratch.h"
#include "pyane/linalg/gemm.h"

namespace pyane::emulator::hardware {
namespace {

using Index = std::int64_t;
using linalg::GemmBias;
using linalg::GemmOperand;

/// Rows of a task.
constexpr Index kRows = 64;

/// One operand seen as vectors along k.
struct Vectors {
  const GemmOperand* operand = nullptr;
  const void* data = nullptr;
  bool is_row_wise = true;  ///< Vector i is row i; else column i.
  double ceiling = 0.0;

  Index start(std::size_t product, Index i) const {
    const GemmOperand& x = *operand;
    const auto& offsets = is_row_wise ? x.row_offsets : x.col_offsets;
    const Index stride = is_row_wise ? x.row_stride : x.col_stride;
    return x.offsets[product] + (offsets.empty() ? i * stride : offsets[at(i)]);
  }
  Index step(Index k) const {
    const GemmOperand& x = *operand;
    const auto& offsets = is_row_wise ? x.col_offsets : x.row_offsets;
    const Index stride = is_row_wise ? x.col_stride : x.row_stride;
    return offsets.empty() ? k * stride : offsets[at(k)];
  }
  /// Elements [0, n_k) of vector i to target[k * target_stride]. Returns whether all are finite.
  bool load(std::size_t product, Index i, Index n_k, float* target, Index target_stride) const {
    const Index first = start(product, i);
    bool is_finite = true;
    for (Index k = 0; k < n_k; ++k) {
      float value = load_half(operand->dtype, data, first + step(k));
      if (std::fabs(value) > ceiling) {
        value = std::copysign(std::numeric_limits<float>::infinity(), value);
      }
      is_finite = is_finite && std::isfinite(value);
      target[k * target_stride] = value;
    }
    return is_finite;
  }
  static std::size_t at(Index i) { return static_cast<std::size_t>(i); }
};

/// One task: rows [first_row, first_row + kRows) with kLanes columns.
struct Block {
  const linalg::GemmSpec& spec;
  const Numerics& numerics;
  Vectors rows;
  Vectors columns;
  bool is_swapped;  ///< Rows are columns of c.
  const void* bias;
  void* c;

  Index n_rows() const { return is_swapped ? spec.n : spec.m; }
  Index n_columns() const { return is_swapped ? spec.m : spec.n; }

  void run(std::size_t product, Index first_row, Index first_column) const {
    const Index padded_k = (spec.k + 3) / 4 * 4;
    const auto lanes = static_cast<Index>(kLanes);
    const Index n_lanes = std::min(lanes, n_columns() - first_column);
    float* x = reinterpret_cast<float*>(thread_scratch(
        static_cast<std::size_t>(padded_k) * static_cast<std::size_t>(lanes + 1) * sizeof(float)));
    float* w = x + padded_k;
    std::fill(x, x + padded_k * (lanes + 1), 0.0F);
    std::array<bool, kLanes> is_finite{};
    for (Index j = 0; j < n_lanes; ++j) {
      is_finite[Vectors::at(j)] = columns.load(product, first_column + j, spec.k, w + j, lanes);
    }
    for (Index j = 0; j < n_lanes; ++j) {
      if (!is_finite[Vectors::at(j)]) silence(w + j, padded_k, lanes);
    }
    const bool is_vectorised = numerics.accumulator == Accumulator::kFourLanes &&
                               numerics.alignment == Alignment::kTruncate &&
                               numerics.accumulator_bits == 0 && !numerics.rounds_products;
    const Index last_row = std::min(first_row + kRows, n_rows());
    for (Index i = first_row; i < last_row; ++i) {
      const bool is_row_finite = rows.load(product, i, spec.k, x, 1);
      std::array<double, kLanes> sums;
      std::array<float, kLanes> partials;
      if (is_vectorised && is_row_finite) {
        sum_columns(x, w, static_cast<std::size_t>(padded_k), numerics.flushes_mac_denormals,
                    sums.data(), partials.data());
      }
      for (Index j = 0; j < n_lanes; ++j) {
        const std::size_t lane = Vectors::at(j);
        const Index row = is_swapped ? first_column + j : i;
        const Index column = is_swapped ? i : first_column + j;
        const double added = bias_of(product, row, column);
        const bool is_known = is_vectorised && is_row_finite && is_finite[lane] &&
                              static_cast<double>(partials[lane]) < numerics.mac_ceiling;
        const double sum = is_known ? sums[lane] : sum_of(product, i, first_column + j, added);
        // The fixed-point register starts with the bias.
        const bool is_added = numerics.accumulator == Accumulator::kFixedPoint;
        store(product, row, column, finish_product(numerics, sum, is_added ? 0.0 : added));
      }
    }
  }

 private:
  /// Numbers that cannot be vectorised (infinities) must not reach integer conversions.
  static void silence(float* w, Index n_k, Index stride) {
    for (Index k = 0; k < n_k; ++k) w[k * stride] = 0.0F;
  }

  double sum_of(std::size_t product, Index row, Index column, double added) const {
    const bool starts = numerics.accumulator == Accumulator::kFixedPoint;
    Accumulation sum(numerics, starts ? added : 0.0);
    const Index x = rows.start(product, row);
    const Index w = columns.start(product, column);
    for (Index k = 0; k < spec.k; ++k) {
      sum.add(element(rows, x + rows.step(k)), element(columns, w + columns.step(k)));
    }
    return sum.finish();
  }

  static float element(const Vectors& vectors, Index i) {
    const float value = load_half(vectors.operand->dtype, vectors.data, i);
    if (std::fabs(value) <= vectors.ceiling) return value;
    return std::copysign(std::numeric_limits<float>::infinity(), value);
  }

  double bias_of(std::size_t product, Index row, Index column) const {
    if (spec.bias == GemmBias::kNone) return 0.0;
    const Index first = spec.bias_offsets.empty() ? 0 : spec.bias_offsets[product];
    return load_half(spec.bias_dtype, bias,
                     first + (spec.bias == GemmBias::kPerRow ? row : column));
  }

  void store(std::size_t product, Index row, Index column, double value) const {
    const Index i = spec.c.offsets[product] + row * spec.c.row_stride + column * spec.c.col_stride;
    store_value(spec.c.dtype, c, i, static_cast<float>(value));
  }
};

}  // namespace

void multiply(const linalg::GemmSpec& spec, const MacUnit& unit, const void* a, const void* b,
              const void* bias, void* c) {
  const Vectors rows{&spec.a, a, true, unit.a_ceiling};
  const Vectors columns{&spec.b, b, false, unit.b_ceiling};
  // The longer side is vectorised. Factors commute, so which one it is changes nothing.
  const bool is_swapped = spec.n < spec.m;
  const Block block{.spec = spec,
                    .numerics = unit.numerics,
                    .rows = is_swapped ? columns : rows,
                    .columns = is_swapped ? rows : columns,
                    .is_swapped = is_swapped,
                    .bias = bias,
                    .c = c};
  const auto lanes = static_cast<Index>(kLanes);
  const Index row_blocks = (block.n_rows() + kRows - 1) / kRows;
  const Index column_blocks = (block.n_columns() + lanes - 1) / lanes;
  const Index per_product = row_blocks * column_blocks;
  if (per_product == 0) return;
  parallel_for(spec.c.offsets.size() * static_cast<std::size_t>(per_product),
               [&](std::size_t task) {
                 const auto i = static_cast<Index>(task) % per_product;
                 block.run(task / static_cast<std::size_t>(per_product), i / column_blocks * kRows,
                           i % column_blocks * lanes);
               });
}

}  // namespace pyane::emulator::hardware
