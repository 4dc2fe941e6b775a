#include "pyane/emulator/kernels/registry.h"

#include <algorithm>

namespace pyane::emulator {
namespace {

std::vector<const KernelRecord*> collect() {
  std::vector<const KernelRecord*> records;
  for (const auto family : {activation_kernels,
                            attention_kernels,
                            constexpr_kernels,
                            control_kernels,
                            conv_kernels,
                            einsum_kernels,
                            elementwise_binary_kernels,
                            elementwise_unary_kernels,
                            gather_kernels,
                            generate_kernels,
                            linear_kernels,
                            list_kernels,
                            non_maximum_suppression_kernels,
                            normalization_kernels,
                            pool_kernels,
                            random_kernels,
                            quantization_kernels,
                            recurrent_kernels,
                            reduction_kernels,
                            resize_kernels,
                            sampling_kernels,
                            scatter_kernels,
                            sequence_kernels,
                            slice_kernels,
                            sort_kernels,
                            space_depth_kernels,
                            tensor_operation_kernels,
                            tensor_transformation_kernels}) {
    for (const KernelRecord& record : family()) records.push_back(&record);
  }
  std::sort(records.begin(), records.end(),
            [](const KernelRecord* a, const KernelRecord* b) { return a->op < b->op; });
  return records;
}

}  // namespace

const std::vector<const KernelRecord*>& all_kernels() {
  static const std::vector<const KernelRecord*> records = collect();
  return records;
}

const KernelRecord* find_kernel(std::string_view op) {
  const auto& records = all_kernels();
  const auto found = std::lower_bound(
      records.begin(), records.end(), op,
      [](const KernelRecord* record, std::string_view name) { return record->op < name; });
  return found != records.end() && (*found)->op == op ? *found : nullptr;
}

}  // namespace pyane::emulator
