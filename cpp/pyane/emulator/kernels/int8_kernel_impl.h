// Body of int8_kernel_<isa>.cpp, which before including this, in namespace pyane::emulator::(none),
// defines
//
//   kLanes, kMr, kNrVectors   words per vector, rows and vectors per tile
//   kDepth, kIsUnsigned       as in Int8Kernel
//   IntVector                 kLanes words
//   load, store, splat        of words
//   add_dot(sum, b, a)        sum + dot products of the words of b (activations) and a (weights)

constexpr int kNr = kLanes * kNrVectors;

template <int kRows>
void multiply_rows(std::int64_t n_k, const std::int32_t* a, const std::int32_t* b,
                   const std::int64_t* row_offsets, std::int32_t* sums) {
  IntVector sum[kRows][kNrVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kNrVectors; ++j) sum[i][j] = splat(0);
  }
  for (std::int64_t k = 0; k < n_k; ++k) {
    const std::int32_t* b_row = b + row_offsets[k];
    IntVector column[kNrVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kNrVectors; ++j) column[j] = load(b_row + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const IntVector row = splat(a[i]);
#pragma GCC unroll 4
      for (int j = 0; j < kNrVectors; ++j) add_dot(sum[i][j], column[j], row);
    }
    a += kMr;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kNrVectors; ++j) store(sums + i * kNr + j * kLanes, sum[i][j]);
  }
}

template <int kRows>
void multiply_at_most(std::int64_t n_k, const std::int32_t* a, const std::int32_t* b,
                      const std::int64_t* row_offsets, std::int32_t* sums, int rows) {
  if (rows == kRows) return multiply_rows<kRows>(n_k, a, b, row_offsets, sums);
  if constexpr (kRows > 1) multiply_at_most<kRows - 1>(n_k, a, b, row_offsets, sums, rows);
}

void interleave(const std::uint8_t* const* rows, std::int64_t n, std::uint8_t flip,
                std::int32_t zero, bool is_signed, std::int32_t* words) {
  if constexpr (kDepth == 4) {
    const std::uint8_t* __restrict r0 = rows[0];
    const std::uint8_t* __restrict r1 = rows[1];
    const std::uint8_t* __restrict r2 = rows[2];
    const std::uint8_t* __restrict r3 = rows[3];
    const std::uint32_t flips = 0x01010101U * flip;
    for (std::int64_t i = 0; i < n; ++i) {
      const std::uint32_t word =
          static_cast<std::uint32_t>(r0[i]) | static_cast<std::uint32_t>(r1[i]) << 8 |
          static_cast<std::uint32_t>(r2[i]) << 16 | static_cast<std::uint32_t>(r3[i]) << 24;
      words[i] = static_cast<std::int32_t>(word ^ flips);
    }
  } else {
    const std::uint8_t* __restrict r0 = rows[0];
    const std::uint8_t* __restrict r1 = rows[1];
    // A signed byte is its unsigned value with the sign flipped, less 128.
    const std::uint32_t sign = is_signed ? 0x80U : 0U;
    const std::uint32_t less = static_cast<std::uint32_t>(zero) + (is_signed ? 128U : 0U);
    for (std::int64_t i = 0; i < n; ++i) {
      const std::uint32_t low = (r0[i] ^ sign) - less;
      const std::uint32_t high = (r1[i] ^ sign) - less;
      words[i] = static_cast<std::int32_t>((low & 0xFFFFU) | high << 16);
    }
  }
}

void scale_sums(const std::int32_t* sums, int n, std::int32_t correction, float factor, float bias,
                float* out) {
  for (int i = 0; i < n; ++i) {
    const auto sum = static_cast<std::int32_t>(static_cast<std::uint32_t>(sums[i]) -
                                               static_cast<std::uint32_t>(correction));
    out[i] = static_cast<float>(sum) * factor + bias;
  }
}

[[maybe_unused]] void quantize_run(const float* x, std::int64_t n, float scale, float zero_point,
                                   float low, float high, std::uint8_t* out) {
  for (std::int64_t i = 0; i < n; ++i) {
    // Adding and taking away 1.5 * 2^23 rounds half to even; larger quotients are clipped anyway.
    float quotient = x[i] / scale;
    quotient = quotient != quotient ? 0.0F : quotient;
    quotient = quotient < -1024.0F ? -1024.0F : quotient;
    quotient = quotient > 1024.0F ? 1024.0F : quotient;
    const float rounded = (quotient + 0x1.8p23F) - 0x1.8p23F;
    float shifted = rounded + zero_point;
    shifted = shifted < low ? low : shifted;
    shifted = shifted > high ? high : shifted;
    out[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(shifted));
  }
}

constexpr Int8Kernel kKernel = {.mr = kMr,
                                .nr = kNr,
                                .depth = kDepth,
                                .is_unsigned = kIsUnsigned,
                                .multiply = &multiply_at_most<kMr>,
                                .interleave = &interleave,
                                .scale = &scale_sums};
