#include "pyane/emulator/kernels/registry.h"

namespace pyane::emulator {
namespace {

using mil::OpContext;

template <TileOp kFloats, TileOp kIntegers>
TileNode by_dtype(const OpContext& op) {
  return {.op = is_float(op.dtype("x")) ? kFloats : kIntegers};
}

template <TileOp kOp>
TileNode always(const OpContext&) {
  return {.op = kOp};
}

TileNode select(const OpContext& op) {
  return {.op = is_float(op.dtype("a")) ? TileOp::kSelectFloat : TileOp::kIntSelect};
}

KernelRecord binary(std::string_view op, MakeTileNode tile) {
  return {.op = op, .operands = {"x", "y"}, .tile = tile};
}

}  // namespace

std::span<const KernelRecord> elementwise_binary_kernels() {
  static const KernelRecord records[] = {
      binary("add", by_dtype<TileOp::kAdd, TileOp::kIntAdd>),
      binary("equal", by_dtype<TileOp::kEqual, TileOp::kIntEqual>),
      binary("floor_div", by_dtype<TileOp::kFloorDiv, TileOp::kIntFloorDiv>),
      binary("greater", by_dtype<TileOp::kGreater, TileOp::kIntGreater>),
      binary("greater_equal", by_dtype<TileOp::kGreaterEqual, TileOp::kIntGreaterEqual>),
      binary("less", by_dtype<TileOp::kLess, TileOp::kIntLess>),
      binary("less_equal", by_dtype<TileOp::kLessEqual, TileOp::kIntLessEqual>),
      binary("logical_and", always<TileOp::kLogicalAnd>),
      binary("logical_or", always<TileOp::kLogicalOr>),
      binary("logical_xor", always<TileOp::kLogicalXor>),
      binary("maximum", by_dtype<TileOp::kMaximum, TileOp::kIntMaximum>),
      binary("minimum", by_dtype<TileOp::kMinimum, TileOp::kIntMinimum>),
      binary("mod", by_dtype<TileOp::kMod, TileOp::kIntMod>),
      binary("mul", by_dtype<TileOp::kMul, TileOp::kIntMul>),
      binary("not_equal", by_dtype<TileOp::kNotEqual, TileOp::kIntNotEqual>),
      binary("pow", by_dtype<TileOp::kPow, TileOp::kIntPow>),
      binary("real_div", by_dtype<TileOp::kRealDiv, TileOp::kIntTruncDiv>),
      binary("sub", by_dtype<TileOp::kSub, TileOp::kIntSub>),
      {.op = "select", .operands = {"cond", "a", "b"}, .tile = select},
  };
  return records;
}

}  // namespace pyane::emulator
