// Part of gemm_kernel_impl.h: products whose b is read in place, row k at b + row_offsets[k].

/// Vectors per tile of `rows` rows: what the registers hold beside a row of b and an element of a,
/// a power of two. Few rows take more vectors, or their sums would wait for each other.
constexpr int kRegisters = kMr * kNrVectors + kNrVectors + 1 > 16 ? 32 : 16;
constexpr int direct_vectors(int rows) {
  int vectors = kNrVectors;
  while (vectors < 8 && (rows + 1) * 2 * vectors < kRegisters) vectors *= 2;
  return vectors;
}

using MultiplyDirect = void (*)(std::int64_t n_k, const float* a, const float* b,
                                const std::int64_t* row_offsets, float* sums);

// Sums of vector j go to the tile of kMr x kNr floats number j / kNrVectors.
template <int kRows, int kVectors>
void multiply_direct_tile(std::int64_t n_k, const float* a, const float* b,
                          const std::int64_t* row_offsets, float* sums) {
  Vector sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) sum[i][j] = Vector{};
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
    a += kMr;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) {
      float* tile = sums + j / kNrVectors * kMr * kNr;
      store(tile + i * kNr + j % kNrVectors * kLanes, sum[i][j]);
    }
  }
}

// Entry rows - 1, log2(vectors); null where the registers do not suffice.
template <int kRows, int kVectors>
constexpr MultiplyDirect direct_tile() {
  if constexpr (kVectors <= direct_vectors(kRows)) {
    return &multiply_direct_tile<kRows, kVectors>;
  } else {
    return nullptr;
  }
}
constexpr int kDirectWidths = 4;  // 1, 2, 4, 8
template <int... kIndex>
struct DirectTable {
  MultiplyDirect entries[sizeof...(kIndex)] = {
      direct_tile<kIndex / kDirectWidths + 1, 1 << (kIndex % kDirectWidths)>()...};
};
template <int... kIndex>
constexpr DirectTable<kIndex...> make_direct(Indices<kIndex...>) {
  return {};
}
constexpr auto kDirectTiles = make_direct(Count<kMr * kDirectWidths>::Type());

int direct_columns(int rows) { return direct_vectors(rows) * kLanes; }

void multiply_direct(std::int64_t n_k, const float* a, const float* b,
                     const std::int64_t* row_offsets, float* sums, int rows, int cols) {
  const int vectors = (cols + kLanes - 1) / kLanes;
  const int width = vectors <= 1 ? 0 : vectors <= 2 ? 1 : vectors <= 4 ? 2 : 3;
  kDirectTiles.entries[(rows - 1) * kDirectWidths + width](n_k, a, b, row_offsets, sums);
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
