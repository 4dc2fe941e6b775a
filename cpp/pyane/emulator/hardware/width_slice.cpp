#include "pyane/emulator/hardware/width_slice.h"

#include <cmath>
#include <limits>
#include <vector>

#include "pyane/base/half.h"
#include "pyane/emulator/hardware/numerics.h"
#include "pyane/emulator/kernels/copy.h"
#include "pyane/emulator/kernels/rows.h"
#include "pyane/mil/ops/windows.h"

namespace pyane::emulator::hardware {
namespace {

/// Whether the slice begins inside the last axis. A begin that is only known when evaluating does
/// not count: that it takes this way is not known.
bool begins_inside_width(const mil::OpContext& op) {
  const bool is_by_size = op.record().name == "slice_by_size";
  if (is_by_size && op.constant("begin") == nullptr) return false;
  const std::vector<mil::SliceRange> ranges =
      is_by_size ? mil::resolve_slice_by_size(op) : mil::resolve_slice_by_index(op);
  return !ranges.empty() && ranges.back().begin != kUnknownDim && ranges.back().begin != 0;
}

bool is_half_or_float(DType dtype) { return dtype == DType::kFp16 || dtype == DType::kFp32; }

class SaturatingSlice final : public Step {
 public:
  SaturatingSlice(const PrepareContext& context, const SubTensor& part)
      : offset_(part.offset * static_cast<std::int64_t>(context.inputs[0].element_bytes())),
        copy_(make_copy(part.layout, context.outputs[0])),
        part_(part.layout),
        ceiling_(static_cast<float>(context.hardware->width_slice_ceiling)) {}

  void run(const StepArguments& arguments) const override {
    TensorView part;
    static_cast<TensorLayout&>(part) = part_;
    part.data = arguments.inputs[0].data + offset_;
    const TensorView& out = arguments.outputs[0];
    copy_->run({.inputs = std::span(&part, 1), .outputs = arguments.outputs});
    if (!is_half_or_float(out.dtype)) return;
    for_each_row(out.count(), 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) saturate(out, i);
    });
  }

 private:
  void saturate(const TensorView& out, std::int64_t i) const {
    const bool is_half = out.dtype == DType::kFp16;
    const float value =
        is_half ? half_to_float(out.as<const half_bits>()[i]) : out.as<const float>()[i];
    if (!(std::fabs(value) > ceiling_)) return;
    const float infinity = std::copysign(std::numeric_limits<float>::infinity(), value);
    if (is_half) {
      out.as<half_bits>()[i] = float_to_half(infinity);
    } else {
      out.as<float>()[i] = infinity;
    }
  }

  std::int64_t offset_;
  std::unique_ptr<Step> copy_;
  TensorLayout part_;
  float ceiling_;
};

}  // namespace

std::optional<SubTensor> view_slice(const mil::OpContext& op, const TensorLayout& x,
                                    std::size_t output, const Shape& dims) {
  if (begins_inside_width(op)) return std::nullopt;
  return emulator::find_kernel(op.record().name)->view(op, x, output, dims);
}

std::unique_ptr<Step> prepare_slice(const PrepareContext& context) {
  const mil::OpContext& op = context.op;
  const KernelRecord& record = *emulator::find_kernel(op.record().name);
  const auto part = begins_inside_width(op)
                        ? record.view(op, context.inputs[0], 0, context.outputs[0].shape())
                        : std::nullopt;
  if (part) return std::make_unique<SaturatingSlice>(context, *part);
  if (record.prepare != nullptr) return record.prepare(context);
  op.fail("the emulator needs its bounds at compile time");
}

}  // namespace pyane::emulator::hardware
