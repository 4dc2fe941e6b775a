#include "pyane/emulator/hardware/kernels.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "pyane/emulator/hardware/decorated.h"
#include "pyane/emulator/hardware/elementwise.h"
#include "pyane/emulator/hardware/reduction.h"
#include "pyane/emulator/hardware/width_slice.h"

namespace pyane::emulator::hardware {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
/// What layer_norm takes a NaN for: "a large finite magnitude" (ane-guide ch. 3), which one is not
/// said; here the largest.
constexpr float kLargeMagnitude = 65504.0F;

template <std::size_t kSize>
bool is_one_of(std::string_view op, const std::array<std::string_view, kSize>& names) {
  return std::find(names.begin(), names.end(), op) != names.end();
}

constexpr std::array<std::string_view, 2> kSlices = {"slice_by_index", "slice_by_size"};
/// Their steps ask PrepareContext::hardware themselves (kernels/gemm.h).
constexpr std::array<std::string_view, 4> kProducts = {"conv", "conv_transpose", "linear",
                                                       "matmul"};
constexpr std::array<std::string_view, 5> kSums = {
    "reduce_l1_norm", "reduce_l2_norm", "reduce_mean", "reduce_sum", "reduce_sum_square"};

Prepare ieee_prepare(const PrepareContext& context) {
  return emulator::find_kernel(context.op.record().name)->prepare;
}

std::unique_ptr<Step> prepare_decorated(const PrepareContext& context) {
  return decorate(context, {.nan_value = kInfinity}, ieee_prepare(context));
}

std::unique_ptr<Step> prepare_layer_norm(const PrepareContext& context) {
  return decorate(context, {.nan_value = kLargeMagnitude}, ieee_prepare(context));
}

KernelRecord with_saturating_slice(const KernelRecord& ieee) {
  KernelRecord record = ieee;
  record.view = &view_slice;
  record.prepare = &prepare_slice;
  record.strided_inputs = record.strided_outputs = false;
  return record;
}

KernelRecord as_hardware(const KernelRecord& ieee) {
  if (is_one_of(ieee.op, kSlices)) return with_saturating_slice(ieee);
  if (is_one_of(ieee.op, kProducts)) return ieee;
  KernelRecord record = ieee;
  record.along_axis = AxisForm::kNone;
  if (ieee.tile != nullptr) {
    record.tile = nullptr;
    record.prepare = &prepare_elementwise;
  } else if (is_one_of(ieee.op, kSums)) {
    record.prepare = &prepare_reduction;
  } else if (ieee.op == "softmax") {
    record.prepare = &prepare_softmax;
  } else if (ieee.op == "layer_norm") {
    record.prepare = &prepare_layer_norm;
  } else if (ieee.prepare != nullptr && ieee.view == nullptr) {
    record.prepare = &prepare_decorated;
  } else {
    return ieee;  // Moves elements only.
  }
  record.strided_inputs = record.strided_outputs = false;
  return record;
}

using Records = std::vector<KernelRecord>;

Records make_records(KernelRecord (*make)(const KernelRecord&)) {
  Records records;
  for (const KernelRecord* ieee : emulator::all_kernels()) records.push_back(make(*ieee));
  return records;
}

const KernelRecord* find(const Records& records, std::string_view op) {
  const auto found = std::lower_bound(
      records.begin(), records.end(), op,
      [](const KernelRecord& record, std::string_view name) { return record.op < name; });
  return found != records.end() && found->op == op ? &*found : nullptr;
}

const KernelRecord* find_hardware_kernel(std::string_view op) {
  static const Records records = make_records(&as_hardware);
  return find(records, op);
}

/// IEEE kernels but for slices.
const KernelRecord* find_saturating_kernel(std::string_view op) {
  static const Records records = make_records([](const KernelRecord& ieee) {
    return is_one_of(ieee.op, kSlices) ? with_saturating_slice(ieee) : ieee;
  });
  return find(records, op);
}

}  // namespace

FindKernel kernels_for(const Numerics* numerics) {
  if (numerics == nullptr) return &emulator::find_kernel;
  return numerics->is_ieee ? &find_saturating_kernel : &find_hardware_kernel;
}

}  // namespace pyane::emulator::hardware
