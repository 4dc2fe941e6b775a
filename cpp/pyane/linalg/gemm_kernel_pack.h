// Part of gemm_kernel_impl.h: rows of a and columns of b are put into panels.

// Interleaves the lower (upper) halves of two vectors: a0 b0 a1 b1 ...
template <int... kIndex>
struct Indices {};
template <int kCount, int... kIndex>
struct Count : Count<kCount - 1, kCount - 1, kIndex...> {};
template <int... kIndex>
struct Count<0, kIndex...> {
  using Type = Indices<kIndex...>;
};
template <int... kIndex>
inline Vector interleave_low(Vector a, Vector b, Indices<kIndex...>) {
  return __builtin_shufflevector(a, b, (kIndex / 2 + (kIndex % 2) * kLanes)...);
}
template <int... kIndex>
inline Vector interleave_high(Vector a, Vector b, Indices<kIndex...>) {
  return __builtin_shufflevector(a, b, (kLanes / 2 + kIndex / 2 + (kIndex % 2) * kLanes)...);
}

// kLanes x kLanes in place: log2(kLanes) perfect shuffles of the rows.
inline void transpose(Vector* rows) {
  const Count<kLanes>::Type indices;
#pragma GCC unroll 4
  for (int step = 1; step < kLanes; step *= 2) {
    Vector next[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes / 2; ++i) {
      next[2 * i] = interleave_low(rows[i], rows[i + kLanes / 2], indices);
      next[2 * i + 1] = interleave_high(rows[i], rows[i + kLanes / 2], indices);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) rows[i] = next[i];
  }
}

// Stores the lanes of a panel row from `lane` on that lie within its width.
template <int kWidth>
inline void store_lanes(float* panel_row, int lane, Vector value) {
  if (lane + kLanes <= kWidth) {
    store(panel_row + lane, value);
  } else {
    store_part(panel_row + lane, value, kWidth - lane);
  }
}

template <int kWidth, typename T>
void pack_lanes_adjacent(const T* source, const GemmSource& s, int n_lanes, std::int64_t n_k,
                         float* panel) {
  if (n_lanes == kWidth && kWidth % kLanes == 0) {
    for (std::int64_t k = 0; k < n_k; ++k) {
      const T* row = source + (s.k_offsets != nullptr ? s.k_offsets[k] : k * s.k_stride);
#pragma GCC unroll 4
      for (int lane = 0; lane < kWidth; lane += kLanes) {
        store(panel + k * kWidth + lane, load(row + lane));
      }
    }
    return;
  }
  for (std::int64_t k = 0; k < n_k; ++k) {
    const T* row = source + (s.k_offsets != nullptr ? s.k_offsets[k] : k * s.k_stride);
    for (int lane = 0; lane < kWidth; lane += kLanes) {
      store_lanes<kWidth>(panel + k * kWidth, lane, load_some(row + lane, n_lanes - lane));
    }
  }
}

template <int kWidth, typename T>
void pack_k_adjacent(const T* source, const GemmSource& s, int n_lanes, std::int64_t n_k,
                     float* panel) {
  for (int lane = 0; lane < kWidth; lane += kLanes) {
    const int here = n_lanes - lane;
    const T* first = source + lane * s.lane_stride;
    std::int64_t k = 0;
    Vector rows[kLanes];
    for (; k + kLanes <= n_k; k += kLanes) {
      if (here >= kLanes) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) rows[i] = load(first + i * s.lane_stride + k);
      } else {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) {
          rows[i] = i < here ? load(first + i * s.lane_stride + k) : Vector{};
        }
      }
      transpose(rows);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) store_lanes<kWidth>(panel + (k + i) * kWidth, lane, rows[i]);
    }
    if (k < n_k) {
      const int rest = static_cast<int>(n_k - k);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        rows[i] = i < here ? load_part(first + i * s.lane_stride + k, rest) : Vector{};
      }
      transpose(rows);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        if (i < rest) store_lanes<kWidth>(panel + (k + i) * kWidth, lane, rows[i]);
      }
    }
  }
}

template <int kWidth, typename T>
void pack_scattered(const T* source, const GemmSource& s, int n_lanes, std::int64_t n_k,
                    float* panel) {
  constexpr int kPadded = (kWidth + kLanes - 1) / kLanes * kLanes;
  const T* lanes[kWidth];
  for (int i = 0; i < n_lanes; ++i) {
    lanes[i] = source + (s.lane_offsets != nullptr ? s.lane_offsets[i] : i * s.lane_stride);
  }
  T row[kPadded] = {};
  for (std::int64_t k = 0; k < n_k; ++k) {
    const std::int64_t offset = s.k_offsets != nullptr ? s.k_offsets[k] : k * s.k_stride;
    for (int i = 0; i < n_lanes; ++i) row[i] = lanes[i][offset];
    for (int lane = 0; lane < kWidth; lane += kLanes) {
      store_lanes<kWidth>(panel + k * kWidth, lane, load(row + lane));
    }
  }
}

// Lanes that are adjacent in stretches, as neighbouring output positions of a convolution are
// within a row of the image. `ends`: one past the last lane of each stretch.
template <int kWidth, typename T>
void pack_stretches(const T* source, const GemmSource& s, const int* ends, int n_stretches,
                    int n_lanes, std::int64_t n_k, float* panel) {
  for (std::int64_t k = 0; k < n_k; ++k) {
    const T* row = source + (s.k_offsets != nullptr ? s.k_offsets[k] : k * s.k_stride);
    float* panel_row = panel + k * kWidth;
    int lane = 0;
    for (int i = 0; i < n_stretches; ++i) {
      const T* stretch = row + s.lane_offsets[lane] - lane;
      // A vector may reach into the next stretch, which then overwrites that part.
      for (; lane < ends[i]; lane += kLanes) {
        store_lanes<kWidth>(panel_row, lane, load_some(stretch + lane, ends[i] - lane));
      }
      lane = ends[i];
    }
    for (lane = n_lanes; lane < kWidth; ++lane) panel_row[lane] = 0;
  }
}

template <int kWidth, typename T>
void pack_as(const GemmSource& s, int n_lanes, std::int64_t n_k, float* panel) {
  const T* source = static_cast<const T*>(s.data);
  // Worth it when a vector load gets several elements.
  constexpr int kMostStretches = kWidth / 4;
  int ends[kMostStretches + 1];
  int n_stretches = 0;
  if (s.lane_offsets != nullptr) {
    for (int i = 1; i <= n_lanes && n_stretches <= kMostStretches; ++i) {
      const bool goes_on = i < n_lanes && s.lane_offsets[i] == s.lane_offsets[i - 1] + 1;
      if (!goes_on) ends[n_stretches++] = i;
    }
  }
  if (s.lane_offsets == nullptr && s.lane_stride == 1) {
    pack_lanes_adjacent<kWidth>(source, s, n_lanes, n_k, panel);
  } else if (n_stretches == 1) {
    pack_lanes_adjacent<kWidth>(source + s.lane_offsets[0], s, n_lanes, n_k, panel);
  } else if (n_stretches >= 1 && n_stretches <= kMostStretches) {
    pack_stretches<kWidth>(source, s, ends, n_stretches, n_lanes, n_k, panel);
  } else if (s.lane_offsets == nullptr && s.k_offsets == nullptr && s.k_stride == 1) {
    pack_k_adjacent<kWidth>(source, s, n_lanes, n_k, panel);
  } else {
    pack_scattered<kWidth>(source, s, n_lanes, n_k, panel);
  }
}

template <int kWidth>
void pack_panel(const GemmSource& s, int n_lanes, std::int64_t n_k, float* panel) {
  if (s.is_half) {
    pack_as<kWidth, std::uint16_t>(s, n_lanes, n_k, panel);
  } else {
    pack_as<kWidth, float>(s, n_lanes, n_k, panel);
  }
}

inline GemmSource from_k(GemmSource s, std::int64_t k) {
  if (s.k_offsets != nullptr) {
    s.k_offsets += k;
  } else {
    s.data = static_cast<const char*>(s.data) + k * s.k_stride * (s.is_half ? 2 : 4);
  }
  return s;
}

// Panels that end where a vector ends, too.
template <int kWidth>
constexpr int group_of_panels() {
  int n = 1;
  while (n * kWidth % kLanes != 0) ++n;
  return n;
}

// Panels narrower than a vector would waste most of each load and transposition: a group of them
// is packed as one wide panel, a piece of k at a time, which is then cut.
template <int kWidth>
void pack(const GemmSource& s, int n_lanes, std::int64_t n_k, float* panels,
          std::int64_t panel_stride) {
  if (n_lanes <= kWidth) {
    pack_panel<kWidth>(s, n_lanes, n_k, panels);
    return;
  }
  constexpr int kWide = group_of_panels<kWidth>() * kWidth;
  constexpr int kPiece = 64;
  alignas(64) float wide[kWide * kPiece];
  for (std::int64_t k = 0; k < n_k; k += kPiece) {
    const int here = static_cast<int>(n_k - k < kPiece ? n_k - k : kPiece);
    pack_panel<kWide>(from_k(s, k), n_lanes, here, wide);
    for (int lane = 0; lane < n_lanes; lane += kWidth) {
      float* panel = panels + lane / kWidth * panel_stride + k * kWidth;
      for (int i = 0; i < here; ++i) {
        __builtin_memcpy(panel + i * kWidth, wide + i * kWide + lane, kWidth * sizeof(float));
      }
    }
  }
}
