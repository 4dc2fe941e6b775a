#include <limits>

#include "pyane/emulator/kernels/registry.h"

namespace pyane::emulator {
namespace {

using mil::OpContext;

/// `floats` or, for integer x, `integers`.
template <TileOp kFloats, TileOp kIntegers = TileOp::kCount>
TileNode by_dtype(const OpContext& op) {
  if (is_float(op.dtype("x"))) return {.op = kFloats};
  if constexpr (kIntegers == TileOp::kCount) {
    op.fail("the emulator evaluates it for floating-point x only, got " + to_string(op.type("x")));
  } else {
    return {.op = kIntegers};
  }
}

template <TileOp kOp>
TileNode with_epsilon(const OpContext& op) {
  return {.op = kOp, .parameters = {static_cast<float>(op.real("epsilon"))}};
}

TileNode clip(const OpContext& op) {
  return {
      .op = TileOp::kClip,
      .parameters = {static_cast<float>(op.real("alpha")), static_cast<float>(op.real("beta"))}};
}

TileNode threshold(const OpContext& op) {
  if (is_float(op.dtype("x"))) {
    return {.op = TileOp::kThreshold, .parameters = {static_cast<float>(op.real("alpha"))}};
  }
  return {.op = TileOp::kIntClip,
          .parameters = {static_cast<float>(op.integer("alpha")),
                         static_cast<float>(std::numeric_limits<std::int32_t>::max())}};
}

/// Largest and smallest value of an integer type, for saturation.
std::array<float, 2> range_of(DType dtype) {
  switch (dtype) {
    case DType::kInt8:
      return {-128.0F, 127.0F};
    case DType::kUint8:
      return {0.0F, 255.0F};
    case DType::kInt16:
      return {-32768.0F, 32767.0F};
    case DType::kUint16:
      return {0.0F, 65535.0F};
    default:
      return {-0x1p31F, 0x1p31F};
  }
}

TileNode cast(const OpContext& op) {
  const DType from = op.dtype("x");
  // The verifier has checked the name.
  const DType to = dtype_from_name(op.string("dtype")).value_or(from);
  if (is_float(from)) {
    if (is_float(to)) return {.op = TileOp::kIdentity};
    if (to == DType::kBool) return {.op = TileOp::kFloatToBool};
    return {.op = TileOp::kFloatToInt, .parameters = range_of(to)};
  }
  if (is_float(to)) return {.op = TileOp::kIntToFloat};
  return {.op = to == DType::kBool ? TileOp::kIntToBool : TileOp::kIntIdentity};
}

KernelRecord unary(std::string_view op, MakeTileNode tile) {
  return {.op = op, .operands = {"x"}, .tile = tile};
}

}  // namespace

std::span<const KernelRecord> elementwise_unary_kernels() {
  static const KernelRecord records[] = {
      unary("abs", by_dtype<TileOp::kAbs, TileOp::kIntAbs>),
      unary("acos", by_dtype<TileOp::kAcos>),
      unary("asin", by_dtype<TileOp::kAsin>),
      unary("atan", by_dtype<TileOp::kAtan>),
      unary("atanh", by_dtype<TileOp::kAtanh>),
      unary("cast", cast),
      unary("ceil", by_dtype<TileOp::kCeil>),
      unary("clip", clip),
      unary("cos", by_dtype<TileOp::kCos>),
      unary("cosh", by_dtype<TileOp::kCosh>),
      unary("erf", by_dtype<TileOp::kErf>),
      unary("exp", by_dtype<TileOp::kExp>),
      unary("exp2", by_dtype<TileOp::kExp2, TileOp::kIntExp2>),
      unary("floor", by_dtype<TileOp::kFloor>),
      unary("inverse", with_epsilon<TileOp::kInverse>),
      unary("log", with_epsilon<TileOp::kLog>),
      unary("logical_not", by_dtype<TileOp::kCount, TileOp::kLogicalNot>),
      unary("round", by_dtype<TileOp::kRound>),
      unary("rsqrt", with_epsilon<TileOp::kRsqrt>),
      unary("sign", by_dtype<TileOp::kSign, TileOp::kIntSign>),
      unary("sin", by_dtype<TileOp::kSin>),
      unary("sinh", by_dtype<TileOp::kSinh>),
      unary("sqrt", by_dtype<TileOp::kSqrt>),
      unary("square", by_dtype<TileOp::kSquare, TileOp::kIntSquare>),
      unary("tan", by_dtype<TileOp::kTan>),
      unary("tanh", by_dtype<TileOp::kTanh>),
      unary("threshold", threshold),
  };
  return records;
}

}  // namespace pyane::emulator
