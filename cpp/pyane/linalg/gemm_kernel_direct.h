// Part of gemm_kernel_impl.h: products whose b is read in place, row k at b + row_offsets[k].

/// Rows of b begin anywhere, so that a vector of them mostly lies in two cache lines and costs two
/// reads: a tile has more rows and fewer vectors than one on packed panels.
constexpr int kDirectMr = kLanes == 16 ? 8 : kMr;
constexpr int kDirectRegisters = kMr * kNrVectors + kNrVectors + 1 > 16 ? 32 : 16;

/// Vectors per tile of `rows` rows: what the registers hold beside a row of b and an element of a.
/// Few rows take more vectors, or their sums would wait for each other.
constexpr int direct_vectors(int rows) {
  const int vectors = (kDirectRegisters - 1) / (rows + 1);
  return vectors < 8 ? vectors : 8;
}

using MultiplyDirect = void (*)(std::int64_t n_k, const float* a, const float* b,
                                const std::int64_t* row_offsets, float* sums,
                                std::int64_t sums_stride, bool adds);

template <int kRows, int kVectors>
void multiply_direct_tile(std::int64_t n_k, const float* a, const float* b,
                          const std::int64_t* row_offsets, float* sums, std::int64_t sums_stride,
                          bool adds) {
  Vector sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) {
      sum[i][j] = adds ? load(sums + i * sums_stride + j * kLanes) : Vector{};
    }
  }
  for (std::int64_t k = 0; k < n_k; ++k) {
    const float* b_row = b + row_offsets[k];
    Vector column[kVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) column[j] = load(b_row + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vector row = splat(a[i]);
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) sum[i][j] = multiply_add(row, column[j], sum[i][j]);
    }
    a += kDirectMr;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) store(sums + i * sums_stride + j * kLanes, sum[i][j]);
  }
}

// Entry rows - 1, vectors - 1; null where the registers do not suffice.
template <int kRows, int kVectors>
constexpr MultiplyDirect direct_tile() {
  if constexpr (kVectors <= direct_vectors(kRows)) {
    return &multiply_direct_tile<kRows, kVectors>;
  } else {
    return nullptr;
  }
}
constexpr int kDirectWidths = 8;
template <int... kIndex>
struct DirectTable {
  MultiplyDirect entries[sizeof...(kIndex)] = {
      direct_tile<kIndex / kDirectWidths + 1, kIndex % kDirectWidths + 1>()...};
};
template <int... kIndex>
constexpr DirectTable<kIndex...> make_direct(Indices<kIndex...>) {
  return {};
}
constexpr auto kDirectTiles = make_direct(Count<kDirectMr * kDirectWidths>::Type());

int direct_columns(int rows) { return direct_vectors(rows) * kLanes; }

void multiply_direct(std::int64_t n_k, const float* a, const float* b,
                     const std::int64_t* row_offsets, float* sums, std::int64_t sums_stride,
                     int rows, int cols, bool adds) {
  const int vectors = (cols + kLanes - 1) / kLanes;
  kDirectTiles.entries[(rows - 1) * kDirectWidths + vectors - 1](n_k, a, b, row_offsets, sums,
                                                                 sums_stride, adds);
}

template <typename T>
void store_direct_as(const float* sums, std::int64_t sums_stride, int rows, int cols,
                     const GemmTarget& target) {
  float bias[(kDirectMr + kLanes - 1) / kLanes * kLanes] = {};
  const bool has_bias = target.bias != nullptr;
  if (has_bias) load_bias(target, rows, (rows + kLanes - 1) / kLanes * kLanes, bias);
  for (int i = 0; i < rows; ++i) {
    T* const row = static_cast<T*>(target.data) + i * target.row_stride;
    const float* const from = sums + i * sums_stride;
    const Vector term = splat(bias[i]);
    const auto value = [&](int j) { return has_bias ? load(from + j) + term : load(from + j); };
    int j = 0;
    for (; j + kLanes <= cols; j += kLanes) store(row + j, value(j));
    if (j < cols) store_part(row + j, value(j), cols - j);
  }
}

void store_direct(const float* sums, std::int64_t sums_stride, int rows, int cols,
                  const GemmTarget& target) {
  if (target.is_half) {
    store_direct_as<std::uint16_t>(sums, sums_stride, rows, cols, target);
  } else {
    store_direct_as<float>(sums, sums_stride, rows, cols, target);
  }
}

// Even and odd elements of two vectors.
template <int... kIndex>
inline Vector even_lanes(Vector a, Vector b, Indices<kIndex...>) {
  return __builtin_shufflevector(a, b, (kIndex * 2)...);
}
template <int... kIndex>
inline Vector odd_lanes(Vector a, Vector b, Indices<kIndex...>) {
  return __builtin_shufflevector(a, b, (kIndex * 2 + 1)...);
}

template <typename T>
void split_pairs_of(const T* source, std::int64_t n, float* even, float* odd) {
  const Count<kLanes>::Type indices;
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vector low = load(source + 2 * i);
    const Vector high = load(source + 2 * i + kLanes);
    store(even + i, even_lanes(low, high, indices));
    store(odd + i, odd_lanes(low, high, indices));
  }
  const int rest = static_cast<int>(n - i);
  if (rest == 0) return;
  const Vector low = load_some(source + 2 * i, 2 * rest);
  const Vector high = load_some(source + 2 * i + kLanes, 2 * rest - kLanes);
  store_part(even + i, even_lanes(low, high, indices), rest);
  store_part(odd + i, odd_lanes(low, high, indices), rest);
}

void split_pairs(const void* source, bool is_half, std::int64_t n, float* even, float* odd) {
  if (is_half) {
    split_pairs_of(static_cast<const std::uint16_t*>(source), n, even, odd);
  } else {
    split_pairs_of(static_cast<const float*>(source), n, even, odd);
  }
}
