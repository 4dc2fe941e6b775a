#include "pyane/emulator/kernels/half_table.h"

#include <numeric>
#include <tuple>

#include "pyane/base/cpu.h"
#include "pyane/emulator/kernels/tile.h"

namespace pyane::emulator {
namespace {

/// Elements for which computing takes as long as some tenths of making the table.
constexpr std::int64_t kWorthTable = std::int64_t{1} << 15;

/// How much longer than with AVX-512, by the width of vectors; measured with AVX2 and without.
int slowness(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return 1;
    case Isa::kAvx2:
      return 2;
    case Isa::kNeon:
      return 4;
    default:
      return 20;
  }
}

/// In ns per 16 elements, with AVX-512.
int shortest_time(TileOp op) {
  switch (op) {
    case TileOp::kFloorDiv:
    case TileOp::kInverse:
    case TileOp::kMod:
    case TileOp::kRealDiv:
    case TileOp::kRsqrt:
    case TileOp::kSoftsign:
    case TileOp::kSqrt:
      return 3;
    case TileOp::kElu:
    case TileOp::kExp:
    case TileOp::kLog:
    case TileOp::kScaledTanh:
    case TileOp::kSigmoid:
    case TileOp::kSilu:
    case TileOp::kSubExp:
    case TileOp::kTanh:
      return 8;
    case TileOp::kExp2:
    case TileOp::kGeluSigmoid:
    case TileOp::kGeluTanh:
    case TileOp::kSoftplus:
    case TileOp::kSoftplusParametric:
      return 25;
    case TileOp::kErf:
    case TileOp::kGelu:
    case TileOp::kPow:
      return 60;
    case TileOp::kAcos:
    case TileOp::kAsin:
    case TileOp::kAtan:
    case TileOp::kAtanh:
    case TileOp::kCos:
    case TileOp::kCosh:
    case TileOp::kSin:
    case TileOp::kSinh:
    case TileOp::kTan:
      return 200;
    default:
      return 1;
  }
}

}  // namespace

HalfTable tabulate(const TileNode& node) {
  HalfTable operands;
  std::iota(operands.begin(), operands.end(), half_bits{0});
  HalfTable results;
  tile_table().half_functions[static_cast<std::size_t>(node.op)](
      {.out = results.data(),
       .in = {operands.data()},
       .n = kHalfs,
       .parameters = node.parameters.data()});
  return results;
}

bool is_worth_table(TileOp op, std::int64_t n) {
  return 2 * nanoseconds_computed(op) > 3 * kNanosecondsLookedUp && n >= kWorthTable;
}

std::shared_ptr<const HalfTable> shared_table(const TileNode& node) {
  static HalfTableCache<std::tuple<Isa, TileOp, std::uint32_t, std::uint32_t>> cache;
  const auto bits = [](float x) { return __builtin_bit_cast(std::uint32_t, x); };
  return cache.find_or_make(
      {active_isa(), node.op, bits(node.parameters[0]), bits(node.parameters[1])},
      [&] { return tabulate(node); });
}

int nanoseconds_computed(TileOp op) { return slowness(active_isa()) * shortest_time(op); }

}  // namespace pyane::emulator
