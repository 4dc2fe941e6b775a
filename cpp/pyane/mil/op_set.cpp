#include "pyane/mil/op_set.h"

#include <algorithm>

#include "pyane/mil/ops/families.h"

namespace pyane::mil {
namespace {

ops::OpTable make_table() {
  ops::OpTable table;
  ops::add_activation_ops(table);
  ops::add_constexpr_ops(table);
  ops::add_control_ops(table);
  ops::add_conv_ops(table);
  ops::add_elementwise_binary_ops(table);
  ops::add_elementwise_unary_ops(table);
  ops::add_image_resizing_ops(table);
  ops::add_linear_ops(table);
  ops::add_list_ops(table);
  ops::add_normalization_ops(table);
  ops::add_non_maximum_suppression_ops(table);
  ops::add_pool_ops(table);
  ops::add_random_ops(table);
  ops::add_quantization_ops(table);
  ops::add_recurrent_ops(table);
  ops::add_reduction_ops(table);
  ops::add_scatter_gather_ops(table);
  ops::add_space_depth_ops(table);
  ops::add_state_ops(table);
  ops::add_tensor_operation_ops(table);
  ops::add_tensor_transformation_ops(table);
  ops::add_transformers_ops(table);
  std::sort(table.begin(), table.end(),
            [](const OpRecord& a, const OpRecord& b) { return a.name < b.name; });
  return table;
}

const ops::OpTable& table() {
  static const ops::OpTable records = make_table();
  return records;
}

}  // namespace

std::string dtype_names(DTypeSet dtypes) {
  std::vector<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(DType::kUint64); ++i) {
    if ((dtypes >> i & 1U) != 0) names.push_back(dtype_name(static_cast<DType>(i)));
  }
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i != 0) text += i + 1 == names.size() ? " or " : ", ";
    text += names[i];
  }
  return text;
}

const InputSpec* OpRecord::find_input(std::string_view input) const {
  const auto found = std::find_if(inputs.begin(), inputs.end(),
                                  [&](const InputSpec& spec) { return spec.name == input; });
  return found == inputs.end() ? nullptr : &*found;
}

const OpRecord* find_op(std::string_view name) {
  const ops::OpTable& records = table();
  const auto found =
      std::lower_bound(records.begin(), records.end(), name,
                       [](const OpRecord& record, std::string_view n) { return record.name < n; });
  return found != records.end() && found->name == name ? &*found : nullptr;
}

const std::vector<const OpRecord*>& all_ops() {
  static const std::vector<const OpRecord*> pointers = [] {
    std::vector<const OpRecord*> result;
    for (const OpRecord& record : table()) result.push_back(&record);
    return result;
  }();
  return pointers;
}

}  // namespace pyane::mil
