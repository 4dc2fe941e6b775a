#include <string_view>

#include "pyane/emulator/hardware/numerics.h"
#include "pyane/emulator/hardware/product.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/mil/verifier.h"

namespace pyane::emulator::hardware {
namespace {

bool is_byte(DType dtype) { return dtype == DType::kInt8 || dtype == DType::kUint8; }

/// Whether operand `i` is made from int8 numbers when compiling.
bool is_int8_weight(const PrepareContext& context, std::size_t i) {
  if (context.function == nullptr || context.node_inputs.size() <= i) return false;
  const mil::ValueId value = context.node_inputs[i];
  if (value < 0) return false;
  const int producer = context.function->values[static_cast<std::size_t>(value)].producer;
  if (producer < 0) return false;
  const auto& operation = context.function->operations[static_cast<std::size_t>(producer)];
  const mil::OpContext op = context.function->context(operation);
  if (operation.record->name == "constexpr_affine_dequantize") {
    return is_byte(op.dtype("quantized_data"));
  }
  return operation.record->name == "constexpr_blockwise_shift_scale" && is_byte(op.dtype("data"));
}

}  // namespace

std::shared_ptr<const MacUnit> mac_unit(const PrepareContext& context, std::size_t a, std::size_t b,
                                        std::int64_t n_terms) {
  if (context.hardware == nullptr || context.hardware->is_ieee) return nullptr;
  MacUnit unit{.numerics = *context.hardware};
  const std::string_view op = context.op.record().name;
  const bool is_conv = op.substr(0, 4) == "conv";
  if (is_conv && n_terms == 1) {
    unit.numerics.mac_ceiling = std::numeric_limits<double>::infinity();
  }
  if (!is_conv) {
    if (is_int8_weight(context, b)) unit.a_ceiling = unit.numerics.int8_activation_ceiling;
    if (is_int8_weight(context, a)) unit.b_ceiling = unit.numerics.int8_activation_ceiling;
  }
  return std::make_shared<const MacUnit>(unit);
}

}  // namespace pyane::emulator::hardware
