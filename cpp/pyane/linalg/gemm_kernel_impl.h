// Body of gemm_kernel_<isa>.cpp, which before including this, in namespace pyane::linalg::(none),
// defines
//
//   kLanes, kMr, kNrVectors      floats per vector, rows and vectors per tile
//   Vector                       kLanes floats, a vector type of GCC and Clang
//   load, load_part, store, store_part   of floats and of fp16 (std::uint16_t), n < kLanes elements
//                                for the _part forms, whose other lanes are zero
//
//   splat, multiply_add         one value in all lanes; a * b + c, fused where the CPU can

constexpr int kNr = kLanes * kNrVectors;

inline Vector load_some(const float* p, int n) {
  return n >= kLanes ? load(p) : n <= 0 ? Vector{} : load_part(p, n);
}
inline Vector load_some(const std::uint16_t* p, int n) {
  return n >= kLanes ? load(p) : n <= 0 ? Vector{} : load_part(p, n);
}

#include "pyane/linalg/gemm_kernel_pack.h"

template <typename T>
void load_bias(const void* bias, int n, int padded, float* values) {
  for (int i = 0; i < padded; i += kLanes) {
    store(values + i, load_some(static_cast<const T*>(bias) + i, n - i));
  }
}

void load_bias(const GemmTarget& target, int n, int padded, float* values) {
  if (target.bias_is_half) {
    load_bias<std::uint16_t>(target.bias, n, padded, values);
  } else {
    load_bias<float>(target.bias, n, padded, values);
  }
}

// What is done to finished sums of a tile in registers, then to the rows of c.
template <int kRows, int kVectors, typename T>
inline void write_rows(Vector (&sum)[kRows][kVectors], const GemmTarget& target, int cols) {
  T* const out = static_cast<T*>(target.data);
  const int last = cols - (kVectors - 1) * kLanes;
  if (target.adds_to) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const T* row = out + i * target.row_stride;
#pragma GCC unroll 4
      for (int j = 0; j < kVectors - 1; ++j) sum[i][j] += load(row + j * kLanes);
      sum[i][kVectors - 1] += load_some(row + (kVectors - 1) * kLanes, last);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    T* row = out + i * target.row_stride;
#pragma GCC unroll 4
    for (int j = 0; j < kVectors - 1; ++j) store(row + j * kLanes, sum[i][j]);
    if (last == kLanes) {
      store(row + (kVectors - 1) * kLanes, sum[i][kVectors - 1]);
    } else {
      store_part(row + (kVectors - 1) * kLanes, sum[i][kVectors - 1], last);
    }
  }
}

template <int kRows, int kVectors>
inline void finish_tile(Vector (&sum)[kRows][kVectors], const GemmTarget& target, int cols) {
  if (target.scale != 1.0F) {
    const Vector scale = splat(target.scale);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sum[i][j] *= scale;
    }
  }
  if (target.bias != nullptr && target.bias_is_per_row) {
    float bias[(kMr + kLanes - 1) / kLanes * kLanes];
    load_bias(target, kRows, (kRows + kLanes - 1) / kLanes * kLanes, bias);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vector value = splat(bias[i]);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sum[i][j] += value;
    }
  } else if (target.bias != nullptr) {
    float bias[kNr];
    load_bias(target, cols, kVectors * kLanes, bias);
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      const Vector value = load(bias + j * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) sum[i][j] += value;
    }
  }
  if (target.is_half) {
    write_rows<kRows, kVectors, std::uint16_t>(sum, target, cols);
  } else {
    write_rows<kRows, kVectors, float>(sum, target, cols);
  }
}

template <typename T>
using MultiplyTile = void (*)(std::int64_t n_k, const float* a, const T* b, float* sums, int cols,
                              bool adds, const GemmTarget* target, const GemmAhead* ahead);

template <typename T, int kRows, int kVectors>
void multiply_tile(std::int64_t n_k, const float* a, const T* b, float* sums, int cols, bool adds,
                   const GemmTarget* target, const GemmAhead* ahead) {
  Vector sum[kRows][kVectors];
  if (adds) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sum[i][j] = load(sums + i * kNr + j * kLanes);
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sum[i][j] = Vector{};
    }
  }
  const auto add_product = [&sum](const float* a_row, const T* b_row) {
    Vector column[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) column[j] = load(b_row + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vector row = splat(a_row[i]);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sum[i][j] = multiply_add(row, column[j], sum[i][j]);
    }
  };
  if (ahead == nullptr) {
    for (std::int64_t k = 0; k < n_k; ++k) add_product(a + k * kMr, b + k * kNr);
  } else {
    for (std::int64_t k = 0; k < n_k; ++k) {
      __builtin_prefetch(ahead->data + k * ahead->stride, 0, 2);
      add_product(a + k * kMr, b + k * kNr);
    }
  }
  if (target != nullptr) {
    finish_tile(sum, *target, cols);
    return;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) store(sums + i * kNr + j * kLanes, sum[i][j]);
  }
}

// One function for each number of rows and vectors: what is left over at the edges is not computed.
template <typename T, int... kIndex>
struct Tiles {
  MultiplyTile<T> entries[sizeof...(kIndex)] = {
      &multiply_tile<T, kIndex / kNrVectors + 1, kIndex % kNrVectors + 1>...};
};
template <typename T, int... kIndex>
constexpr Tiles<T, kIndex...> make_tiles(Indices<kIndex...>) {
  return {};
}

template <typename T>
void multiply(std::int64_t n_k, const float* a, const T* b, float* sums, int rows, int cols,
              bool adds, const GemmTarget* target, const GemmAhead* ahead) {
  static constexpr auto kTiles = make_tiles<T>(Count<kMr * kNrVectors>::Type());
  const int vectors = (cols + kLanes - 1) / kLanes;
  kTiles.entries[(rows - 1) * kNrVectors + vectors - 1](n_k, a, b, sums, cols, adds, target, ahead);
}

#include "pyane/linalg/gemm_kernel_direct.h"

template <typename T>
void store_tile(const float* sums, int rows, int cols, const GemmTarget& target) {
  constexpr int kPaddedRows = (kMr + kLanes - 1) / kLanes * kLanes;
  constexpr int kMost = kPaddedRows > kNr ? kPaddedRows : kNr;
  float bias[kMost] = {};
  const bool has_bias = target.bias != nullptr;
  const bool per_row = has_bias && target.bias_is_per_row;
  if (has_bias) load_bias(target, per_row ? rows : cols, per_row ? kPaddedRows : kNr, bias);
  T* out = static_cast<T*>(target.data);
  const auto value = [&](int i, int j) {
    Vector v = load(sums + i * kNr + j);
    if (target.scale != 1.0F) v *= splat(target.scale);
    if (has_bias) v += per_row ? splat(bias[i]) : load(bias + j);
    return v;
  };
  if (target.col_stride == 1) {
    for (int i = 0; i < rows; ++i) {
      T* row = out + i * target.row_stride;
      for (int j = 0; j < cols; j += kLanes) {
        Vector v = value(i, j);
        if (target.adds_to) v += load_some(row + j, cols - j);
        if (j + kLanes <= cols) {
          store(row + j, v);
        } else {
          store_part(row + j, v, cols - j);
        }
      }
    }
    return;
  }
  // Column by column, which are adjacent in a transposed target; else element by element.
  for (int i = 0; i < rows; i += kLanes) {
    const int here = rows - i < kLanes ? rows - i : kLanes;
    for (int j = 0; j < cols; j += kLanes) {
      Vector block[kLanes];
      for (int r = 0; r < kLanes; ++r) block[r] = r < here ? value(i + r, j) : Vector{};
      transpose(block);
      for (int c = 0; c < kLanes && j + c < cols; ++c) {
        T* column = out + i * target.row_stride + (j + c) * target.col_stride;
        if (target.row_stride == 1) {
          Vector v = block[c];
          if (target.adds_to) v += load_some(column, here);
          if (here == kLanes) {
            store(column, v);
          } else {
            store_part(column, v, here);
          }
          continue;
        }
        T elements[kLanes] = {};
        if (target.adds_to) {
          for (int r = 0; r < here; ++r) elements[r] = column[r * target.row_stride];
          block[c] += load(elements);
        }
        store(elements, block[c]);
        for (int r = 0; r < here; ++r) column[r * target.row_stride] = elements[r];
      }
    }
  }
}

void store_any(const float* sums, int rows, int cols, const GemmTarget& target) {
  if (target.is_half) {
    store_tile<std::uint16_t>(sums, rows, cols, target);
  } else {
    store_tile<float>(sums, rows, cols, target);
  }
}

double multiply_add_only(std::int64_t n, float* sink) {
  constexpr int kChains = kMr * kNrVectors;
  const Vector factor = splat(sink[0]);
  const Vector term = splat(sink[1]);
  Vector chains[kChains];
#pragma GCC unroll 32
  for (int i = 0; i < kChains; ++i) chains[i] = splat(static_cast<float>(i));  // Else one is kept.
  for (std::int64_t round = 0; round < n; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kChains; ++i) chains[i] = multiply_add(chains[i], factor, term);
  }
  Vector sum = term;
#pragma GCC unroll 32
  for (int i = 0; i < kChains; ++i) sum += chains[i];
  sink[0] += sum[0] * 0.0F;
  return static_cast<double>(n) * kChains * kLanes;
}

constexpr GemmKernel kKernel = {.mr = kMr,
                                .nr = kNr,
                                .a_group = group_of_panels<kMr>(),
                                .pack_a = &pack<kMr>,
                                .pack_b = &pack<kNr>,
                                .multiply = &multiply<float>,
                                .multiply_halves = &multiply<std::uint16_t>,
                                .lanes = kLanes,
                                .direct_mr = kDirectMr,
                                .pack_direct = &pack_panel<kDirectMr>,
                                .direct_columns = &direct_columns,
                                .multiply_direct = &multiply_direct,
                                .store_direct = &store_direct,
                                .split_pairs = &split_pairs,
                                .store = &store_any,
                                .multiply_add_only = &multiply_add_only};
