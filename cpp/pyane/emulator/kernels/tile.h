#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "pyane/base/dtype.h"

// Elementwise arithmetic on tiles: short runs of 4-byte elements that stay in the first-level
// cache. Floating-point tiles hold fp32 (an fp16 value is kept as the fp32 number it is), integer
// and bool tiles hold int32. A chain of operations runs tile by tile, and every operation rounds
// its own result, so fusing changes no bit.
//
// The functions exist once per instruction set (tile_functions.inc); all of them compute the same
// bits: no fused multiply-add, no reassociation.

namespace pyane::emulator {

/// Elements of a tile. 4 KiB each: a dozen fit in a 48 KiB first-level cache.
inline constexpr std::size_t kTileElements = 1024;

struct TileArguments {
  void* out;
  std::array<const void*, 3> in;
  std::size_t n;
  const float* parameters;
  const std::uint16_t* table = nullptr;  ///< Of look_up: results by the bits of the operand.
};

using TileFunction = void (*)(const TileArguments& arguments);

/// Accuracy of the floating-point functions before rounding to fp16, in units in the last place of
/// fp32: exact rounding where nothing is said.
enum class TileOp : std::uint8_t {
  kIdentity,  ///< Also fp32 -> fp16: the rounding is the operation.
  // Unary.
  kAbs,
  kCeil,
  kClip,  ///< parameters: low, high
  kErf,   ///< 2 ulp
  kExp,   ///< 1 ulp
  kExp2,  ///< 1 ulp
  kFloor,
  kInverse,  ///< parameters: epsilon
  kLog,      ///< 1 ulp; parameters: epsilon
  kRelu,
  kRound,  ///< Half to even.
  kRsqrt,  ///< 1 ulp; parameters: epsilon
  kSign,
  kSqrt,
  kSquare,
  kTanh,       ///< 2 ulp
  kThreshold,  ///< max(x, alpha)
  // Unary, by way of the C library in fp64.
  kAcos,
  kAsin,
  kAtan,
  kAtanh,
  kCos,
  kCosh,
  kSin,
  kSinh,
  kTan,
  // Activations.
  kClampedRelu,      ///< parameters: alpha, beta
  kElu,              ///< 2 ulp; parameters: alpha
  kGelu,             ///< 3 ulp
  kGeluSigmoid,      ///< 3 ulp: x * sigmoid(1.702 x)
  kGeluTanh,         ///< 4 ulp
  kLeakyRelu,        ///< parameters: alpha
  kLinear,           ///< alpha * x + beta, 1 ulp
  kScaledTanh,       ///< 3 ulp; parameters: alpha, beta
  kSigmoid,          ///< 2 ulp
  kSigmoidHard,      ///< parameters: alpha, beta
  kSilu,             ///< 3 ulp
  kSoftplus,         ///< 3 ulp
  kSoftsign,         ///< 1 ulp
  kThresholdedRelu,  ///< parameters: alpha
  // Binary.
  kAdd,
  kSub,
  kMul,
  kRealDiv,
  kFloorDiv,
  kMod,
  kPow,  ///< 1 ulp
  kMaximum,
  kMinimum,
  kPrelu,   ///< x, alpha
  kSubExp,  ///< exp(x - y), 1 ulp
  // Three operands.
  kSoftplusParametric,  ///< x, alpha, beta: alpha * log(1 + exp(beta * x)), 4 ulp
  // Comparisons of floats, result 0 or 1.
  kEqual,
  kNotEqual,
  kGreater,
  kGreaterEqual,
  kLess,
  kLessEqual,
  kFloatToBool,
  // Between floats and integers.
  kFloatToInt,  ///< Towards zero, NaN gives 0; saturates. parameters: low, high
  kIntToFloat,
  kSelectFloat,  ///< cond (int), a, b
  // Integers, modulo 2^32.
  kIntIdentity,
  kIntAbs,
  kIntAdd,
  kIntSub,
  kIntMul,
  kIntFloorDiv,  ///< Division by zero gives 0.
  kIntTruncDiv,  ///< Division by zero gives 0.
  kIntMod,       ///< Sign of the divisor; division by zero gives 0.
  kIntPow,
  kIntMaximum,
  kIntMinimum,
  kIntSign,
  kIntEqual,
  kIntNotEqual,
  kIntGreater,
  kIntGreaterEqual,
  kIntLess,
  kIntLessEqual,
  kIntClip,  ///< parameters: low, high
  kIntSquare,
  kIntExp2,  ///< 0 for a negative exponent
  kIntToBool,
  kIntSelect,
  kLogicalAnd,
  kLogicalOr,
  kLogicalXor,
  kLogicalNot,
  // Brings an int32 back into the range of a narrower type, modulo its width.
  kWrapInt8,
  kWrapInt16,
  kWrapUint8,
  kWrapUint16,
  kCount,
};

/// Softmax over the rows of [n_keys, columns], for every column by itself: attention's scores
/// turned over, so that sums need no element of another column. Rows are `stride` elements apart in
/// all.
struct SoftmaxPanel {
  enum class Scaling : std::uint8_t { kNone, kMultiply, kDivide };
  void* scores;    ///< fp16 or fp32: what every step rounds to. Overwritten.
  float* weights;  ///< The result as fp32 numbers. May be `scores`, if those are fp32.
  std::size_t n_keys;
  std::size_t columns;
  std::size_t stride;                ///< A multiple of 4.
  Scaling scaling = Scaling::kNone;  ///< Of the scores, by `factor`; rounded.
  float factor = 1.0F;
  const float* mask = nullptr;  ///< Added, and rounded; nullptr: none.
  bool is_selected = false;     ///< Instead, -infinity becomes the score where the mask is 0.
  float* memory = nullptr;      ///< (kSumLanes + 1) * stride floats, for the function to use.
};

/// How the functions are reached. They take any `n` and alignment and touch nothing beyond `n`.
/// `out` may not be one of the inputs.
struct TileTable {
  std::array<TileFunction, static_cast<std::size_t>(TileOp::kCount)> functions;

  /// The floating-point functions on fp16 operands, with the result rounded to fp16, half to even:
  /// the bits of widening, computing and rounding. nullptr for the others.
  std::array<TileFunction, static_cast<std::size_t>(TileOp::kCount)> half_functions;
  TileFunction look_up;       ///< Any function of one fp16 number, by `table`.
  TileFunction widen;         ///< fp16 to fp32.
  TileFunction narrow;        ///< fp32 to fp16, half to even.
  TileFunction sub_exp_half;  ///< exp(x - y), x fp16, y and the result fp32. 1 ulp
  TileFunction mul_to_half;   ///< x * y of fp32, rounded to fp16.

  /// lanes[i % n_lanes] += x[i], or the larger of the two (NaN if either is).
  void (*sum_halves)(const void* x, std::size_t n, float* lanes, std::size_t n_lanes);
  void (*sum_floats)(const void* x, std::size_t n, float* lanes, std::size_t n_lanes);
  void (*max_halves)(const void* x, std::size_t n, float* lanes, std::size_t n_lanes);
  void (*max_floats)(const void* x, std::size_t n, float* lanes, std::size_t n_lanes);
  /// Of kSumLanes rows of `columns` lanes, the pairwise sum (the largest) in the first row.
  void (*fold_sum)(float* lanes, std::size_t columns);
  void (*fold_max)(float* lanes, std::size_t columns);

  /// 2-byte elements of `rows` rows, `strides` apart in source and target.
  void (*copy_halves)(const void* source, std::ptrdiff_t source_stride, void* target,
                      std::ptrdiff_t target_stride, std::size_t rows, std::size_t columns);
  /// Dense rows of `columns` equal 2-byte elements, one per row, `stride` apart in the source.
  void (*repeat_halves)(const void* source, std::ptrdiff_t stride, void* target, std::size_t rows,
                        std::size_t columns);

  /// The same for 4-byte elements that follow each other.
  void (*repeat_words)(const void* source, void* target, std::size_t rows, std::size_t columns);

  // Parts of reductions and normalisations, for any `n` and alignment.

  /// lanes[i % kSumLanes] += x[i].
  void (*add_to_lanes)(const float* x, std::size_t n, float* lanes);
  /// lanes[i % kSumLanes] += x[i]^2.
  void (*add_squares_to_lanes)(const float* x, std::size_t n, float* lanes);
  /// accumulator[i] += x[i].
  void (*add_rows)(const float* x, float* accumulator, std::size_t n);
  /// accumulator[i] = larger of the two, NaN if either is.
  void (*max_rows)(const float* x, float* accumulator, std::size_t n);
  /// x[i] = exp(x[i] - shift).
  void (*exp_shifted)(float* x, float shift, std::size_t n);
  /// x[i] = x[i] * factor.
  void (*scale)(float* x, float factor, std::size_t n);
  /// Largest element, NaN if there is one; -infinity for n = 0.
  float (*largest)(const float* x, std::size_t n);

  /// The softmax of a panel, of fp16 and fp32 scores: the bits of a softmax operation of that type.
  /// Returns from which key on all weights are zero, and would be so in products: n_keys when some
  /// are NaN or nearly zero.
  std::size_t (*soften_halves)(const SoftmaxPanel& panel);
  std::size_t (*soften_floats)(const SoftmaxPanel& panel);
};

/// Sums keep this many partial sums: element k of the reduced index goes to lane k % kSumLanes, and
/// the lanes are added pairwise at the end. The order is that of the program's indices whatever the
/// layout, so a sum depends on shapes only.
inline constexpr std::size_t kSumLanes = 32;

/// Pairwise sum of kSumLanes lanes, `stride` floats apart.
float sum_lanes(const float* lanes, std::size_t stride = 1);

/// What a reduction gives for `value`: every NaN is the same one, and a largest or smallest element
/// that is zero (`is_extreme`) is +0, so that the order in which elements were looked at, which
/// depends on the layout, does not show.
float reduced_value(float value, bool is_extreme);

/// The functions for the instruction set in use (base/cpu.h).
const TileTable& tile_table();

// One per instruction set that was compiled (tile_functions_<set>.cpp).
const TileTable& tile_table_generic();
const TileTable& tile_table_avx2();
const TileTable& tile_table_avx512();

}  // namespace pyane::emulator
