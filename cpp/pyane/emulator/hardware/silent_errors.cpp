#include "pyane/emulator/hardware/silent_errors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "pyane/base/half.h"

namespace pyane::emulator::hardware {
namespace {

using mil::ValueId;
using mil::VerifiedFunction;
using mil::VerifiedInput;
using mil::VerifiedOperation;

class Rewriter {
 public:
  explicit Rewriter(VerifiedFunction function) : function_(std::move(function)) {}

  void drop_scales_after_rounding() {
    for (VerifiedOperation& operation : function_.operations) {
      if (operation.record->name != "mul") continue;
      ValueId* x = operand(operation, "x");
      ValueId* y = operand(operation, "y");
      if (x == nullptr || y == nullptr) continue;
      if (is_rounded(*x) && is_scalar_constant(*y)) *y = one_like(*y);
      if (is_rounded(*y) && is_scalar_constant(*x)) *x = one_like(*x);
    }
  }

  void mix_up_concatenated_slices() {
    for (std::size_t i = 0; i < function_.operations.size(); ++i) {
      if (function_.operations[i].record->name != "concat") continue;
      const VerifiedInput* values = function_.operations[i].find_input("values");
      if (values == nullptr) continue;
      std::optional<std::int64_t> first;
      for (const ValueId value : values->values) {
        VerifiedOperation* slice = producer_of(value);
        if (slice == nullptr || n_readers(value) != 1) continue;
        const std::optional<Bounds> bounds = width_bounds(*slice);
        if (!bounds || bounds->begin.back() == 0) continue;
        if (!first) {
          first = bounds->begin.back();
        } else {
          begin_at(*slice, *bounds, *first);
        }
      }
    }
  }

  void ignore_weights() {
    for (VerifiedOperation& operation : function_.operations) {
      if (operation.record->name != "conv") continue;
      ValueId* weight = operand(operation, "weight");
      if (weight == nullptr || is_constant(*weight)) continue;
      const mil::Type type = value_of(*weight).type;
      const auto count = element_count(type.dims);
      if (!count) continue;
      *weight = add_constant(
          type, std::vector<std::byte>(static_cast<std::size_t>(*count) * dtype_size(type.dtype)));
    }
  }

  void ignore_masks() {
    for (VerifiedOperation& operation : function_.operations) {
      if (operation.record->name != "scaled_dot_product_attention") continue;
      std::erase_if(operation.inputs,
                    [](const VerifiedInput& input) { return input.spec->name == "attn_mask"; });
    }
  }

  VerifiedFunction take() { return std::move(function_); }

 private:
  struct Bounds {
    std::vector<std::int64_t> begin;
    std::vector<std::int64_t> end;  ///< Empty for slice_by_size, whose length stays.
    std::int64_t width = 0;         ///< Of the sliced tensor.
    std::int64_t length = 0;        ///< Of the slice.
  };

  mil::VerifiedValue& value_of(ValueId value) {
    return function_.values[static_cast<std::size_t>(value)];
  }

  bool is_constant(ValueId value) {
    return value_of(value).constant != nullptr || value_of(value).is_constexpr;
  }

  VerifiedOperation* producer_of(ValueId value) {
    const int producer = value_of(value).producer;
    return producer < 0 ? nullptr : &function_.operations[static_cast<std::size_t>(producer)];
  }

  static ValueId* operand(VerifiedOperation& operation, std::string_view name) {
    for (VerifiedInput& input : operation.inputs) {
      if (input.spec->name == name && input.values.size() == 1) return &input.values[0];
    }
    return nullptr;
  }

  bool is_rounded(ValueId value) {
    static constexpr std::array<std::string_view, 3> kRoundings = {"ceil", "floor", "round"};
    const VerifiedOperation* operation = producer_of(value);
    return operation != nullptr && std::find(kRoundings.begin(), kRoundings.end(),
                                             operation->record->name) != kRoundings.end();
  }

  bool is_scalar_constant(ValueId value) {
    const mil::Type& type = value_of(value).type;
    return is_constant(value) && is_float(type.dtype) &&
           std::all_of(type.dims.begin(), type.dims.end(), [](auto dim) { return dim == 1; });
  }

  ValueId one_like(ValueId value) {
    const mil::Type type = value_of(value).type;
    std::vector<std::byte> bytes(dtype_size(type.dtype));
    if (type.dtype == DType::kFp16) {
      const half_bits one = float_to_half(1.0F);
      std::memcpy(bytes.data(), &one, sizeof one);
    } else {
      const float one = 1.0F;
      std::memcpy(bytes.data(), &one, std::min(bytes.size(), sizeof one));
    }
    return add_constant(type, std::move(bytes));
  }

  ValueId add_constant(const mil::Type& type, std::vector<std::byte> bytes) {
    auto owner = std::make_shared<std::vector<std::byte>>(std::move(bytes));
    const std::span<const std::byte> data(*owner);
    mil::Constant constant{.type = type, .owner = std::move(owner), .data = data, .strings = {}};
    function_.values.push_back(
        {.name = "",
         .type = type,
         .constant = std::make_shared<const mil::Constant>(std::move(constant)),
         .producer = -1});
    return static_cast<ValueId>(function_.values.size() - 1);
  }

  std::size_t n_readers(ValueId value) const {
    const auto in = [value](const std::vector<ValueId>& values) {
      return static_cast<std::size_t>(std::count(values.begin(), values.end(), value));
    };
    std::size_t n = in(function_.outputs);
    for (const VerifiedOperation& operation : function_.operations) {
      // What blocks read is not looked for: the engine has none.
      for (const VerifiedInput& input : operation.inputs) n += in(input.values);
    }
    return n;
  }

  /// Bounds of a slice that can be moved along the last axis: all of them known and not negative,
  /// no strides, no masks.
  std::optional<Bounds> width_bounds(const VerifiedOperation& slice) {
    const bool is_by_size = slice.record->name == "slice_by_size";
    if (!is_by_size && slice.record->name != "slice_by_index") return std::nullopt;
    for (const std::string_view name : {"stride", "begin_mask", "end_mask", "squeeze_mask"}) {
      if (slice.find_input(name) != nullptr) return std::nullopt;
    }
    const mil::OpContext op = function_.context(slice);
    const std::string_view last = is_by_size ? "size" : "end";
    if (op.constant("begin") == nullptr || op.constant(last) == nullptr) return std::nullopt;
    if (op.dtype("begin") != DType::kInt32) return std::nullopt;
    Bounds bounds{.begin = op.integers("begin"), .end = op.integers(last)};
    const auto is_negative = [](std::int64_t i) { return i < 0; };
    if (bounds.begin.empty() || bounds.begin.size() != op.dims("x").size() ||
        std::any_of(bounds.begin.begin(), bounds.begin.end(), is_negative) ||
        std::any_of(bounds.end.begin(), bounds.end.end(), is_negative)) {
      return std::nullopt;
    }
    bounds.width = op.dims("x").back();
    bounds.length = is_by_size ? bounds.end.back() : bounds.end.back() - bounds.begin.back();
    if (is_by_size) bounds.end.clear();
    return bounds;
  }

  void begin_at(VerifiedOperation& slice, Bounds bounds, std::int64_t begin) {
    bounds.begin.back() = std::clamp<std::int64_t>(begin, 0, bounds.width - bounds.length);
    *operand(slice, "begin") = integers(bounds.begin);
    if (bounds.end.empty()) return;
    bounds.end.back() = bounds.begin.back() + bounds.length;
    *operand(slice, "end") = integers(bounds.end);
  }

  ValueId integers(const std::vector<std::int64_t>& numbers) {
    std::vector<std::byte> bytes(numbers.size() * sizeof(std::int32_t));
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const auto number = static_cast<std::int32_t>(numbers[i]);
      std::memcpy(bytes.data() + i * sizeof number, &number, sizeof number);
    }
    return add_constant(
        mil::Type::tensor(DType::kInt32, {static_cast<std::int64_t>(numbers.size())}),
        std::move(bytes));
  }

  VerifiedFunction function_;
};

}  // namespace

VerifiedFunction with_silent_errors(VerifiedFunction function, const chip::Profile& chip) {
  Rewriter rewriter(std::move(function));
  const chip::Quirks& quirks = chip.quirks;
  if (quirks.drops_scale_after_rounding.value) rewriter.drop_scales_after_rounding();
  if (chip.numerics.w_slice_concat_wrong.value) rewriter.mix_up_concatenated_slices();
  if (quirks.runtime_conv_weight.value == chip::RuntimeConvWeight::kIgnored) {
    rewriter.ignore_weights();
  }
  if (quirks.ignores_attention_mask.value) rewriter.ignore_masks();
  return rewriter.take();
}

bool poisons(const VerifiedFunction& function, const chip::Profile& chip) {
  return chip.quirks.tile_poisons_process.value &&
         std::any_of(function.operations.begin(), function.operations.end(),
                     [](const VerifiedOperation& op) { return op.record->name == "tile"; });
}

}  // namespace pyane::emulator::hardware
