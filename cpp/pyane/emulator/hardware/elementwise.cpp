#include "pyane/emulator/hardware/elementwise.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "pyane/base/thread_pool.h"
#include "pyane/emulator/hardware/decorated.h"
#include "pyane/emulator/hardware/numerics.h"
#include "pyane/emulator/hardware/tables.h"
#include "pyane/emulator/hardware/values.h"
#include "pyane/emulator/iteration.h"
#include "pyane/emulator/kernels/fused.h"
#include "pyane/emulator/kernels/half_table.h"

// Elementwise operations. One of a single floating-point operand is a table of its results for all
// 65536 operands, made at compile time; the others are IEEE steps with special values replaced.

namespace pyane::emulator::hardware {
namespace {

constexpr std::int64_t kChunk = 1 << 14;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool is_half_or_float(DType dtype) { return dtype == DType::kFp16 || dtype == DType::kFp32; }

/// A vector [C] as [1, C, 1, ...].
TensorLayout along_channels(const TensorLayout& vector, int rank) {
  TensorLayout layout;
  layout.dtype = vector.dtype;
  layout.rank = rank;
  std::fill_n(layout.dims.begin(), rank, 1);
  layout.dims[1] = vector.dims[0];
  layout.strides[1] = vector.strides[0];
  return layout;
}

/// The IEEE step of the operation alone.
std::unique_ptr<Step> ieee_step(const PrepareContext& context) {
  const KernelRecord& record = *emulator::find_kernel(context.op.record().name);
  const TensorView& out = context.outputs[0];
  const Shape dims = out.shape();
  FusedChain chain;
  FusedOperation operation{.node = record.tile(context.op), .operands = {}, .dtype = out.dtype};
  for (std::size_t i = 0; i < context.inputs.size(); ++i) {
    TensorLayout layout = context.inputs[i];
    if (record.channel_operands && i > 0) layout = along_channels(layout, out.rank);
    chain.inputs.push_back(broadcast_to(layout, dims));
    operation.operands.push_back(i);
  }
  chain.outputs = {chain.inputs.size()};
  chain.output_layouts = {out};
  chain.operations.push_back(std::move(operation));
  return make_fused(std::move(chain));
}

/// Results of the IEEE operation for every operand that the engine lets in.
HalfTable ieee_results(const TileNode& node) {
  const HalfTable table = tabulate(node);
  HalfTable results;
  for (std::size_t bits = 0; bits < kHalfs; ++bits) {
    results[bits] = table[float_to_half(admit(half_to_float(static_cast<half_bits>(bits))))];
  }
  return results;
}

half_bits to_half(double value) { return float_to_half(emit(static_cast<float>(value))); }

/// What the engine gives instead of the IEEE result `results[bits]`.
void replace_results(const std::string& op, const TileNode& node, const Numerics& numerics,
                     HalfTable& results) {
  const ActivationTable* activation = numerics.uses_tables ? find_table(op) : nullptr;
  const ActivationTable* tanh_table = find_table("tanh");
  const double alpha = static_cast<double>(node.parameters[0]);
  const double beta = static_cast<double>(node.parameters[1]);
  for (std::size_t bits = 0; bits < kHalfs; ++bits) {
    const float x = admit(half_to_float(static_cast<half_bits>(bits)));
    half_bits& result = results[bits];
    result = to_half(static_cast<double>(half_to_float(result)));
    if (activation != nullptr) {
      result = to_half((*activation)(static_cast<double>(x)));
    } else if (op == "scaled_tanh" && numerics.uses_tables) {
      result = to_half(alpha * (*tanh_table)(beta * static_cast<double>(x)));
    } else if (op == "log" && x + half_to_float(float_to_half(node.parameters[0])) == 0.0F) {
      result = to_half(numerics.log_of_zero);
    } else if ((op == "softplus" || op == "softsign") && x == kInfinity &&
               numerics.softplus_of_infinity_is_zero) {
      result = to_half(0.0);
    }
  }
}

/// All that a table depends on.
using TableKey = std::tuple<std::string, TileOp, float, float, bool, double, bool>;

std::shared_ptr<const HalfTable> engine_table(const std::string& op, const TileNode& node,
                                              const Numerics& numerics) {
  static HalfTableCache<TableKey> cache;
  const TableKey key{op,
                     node.op,
                     node.parameters[0],
                     node.parameters[1],
                     numerics.uses_tables,
                     numerics.log_of_zero,
                     numerics.softplus_of_infinity_is_zero};
  return cache.find_or_make(key, [&] {
    HalfTable results = ieee_results(node);
    replace_results(op, node, numerics, results);
    return results;
  });
}

class UnaryStep final : public Step {
 public:
  explicit UnaryStep(std::shared_ptr<const HalfTable> table) : table_(std::move(table)) {}

  void run(const StepArguments& arguments) const override {
    const TensorView& x = arguments.inputs[0];
    const TensorView& out = arguments.outputs[0];
    const std::int64_t n = out.count();
    const auto n_chunks = static_cast<std::size_t>((n + kChunk - 1) / kChunk);
    parallel_for(n_chunks, std::chrono::nanoseconds(n), [&](std::size_t chunk) {
      const std::int64_t first = static_cast<std::int64_t>(chunk) * kChunk;
      for (std::int64_t i = first; i < std::min(n, first + kChunk); ++i) {
        const half_bits operand = x.dtype == DType::kFp16 ? x.as<const half_bits>()[i]
                                                          : float_to_half(x.as<const float>()[i]);
        const half_bits result = (*table_)[operand];
        if (out.dtype == DType::kFp16) {
          out.as<half_bits>()[i] = result;
        } else {
          out.as<float>()[i] = half_to_float(result);
        }
      }
    });
  }

 private:
  std::shared_ptr<const HalfTable> table_;
};

}  // namespace

std::unique_ptr<Step> prepare_elementwise(const PrepareContext& context) {
  const bool is_unary = context.inputs.size() == 1 && is_half_or_float(context.inputs[0].dtype) &&
                        is_half_or_float(context.outputs[0].dtype);
  if (!is_unary) return decorate(context, {.nan_value = kInfinity}, &ieee_step);
  const std::string& op = context.op.record().name;
  const TileNode node = emulator::find_kernel(op)->tile(context.op);
  return std::make_unique<UnaryStep>(engine_table(op, node, *context.hardware));
}

}  // namespace pyane::emulator::hardware
