#include "pyane/emulator/attention_builder.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "pyane/emulator/iteration.h"
#include "pyane/emulator/kernels/gemm.h"

namespace pyane::emulator {
namespace {

/// Follows the operations of one attention from its softmax, in both directions.
class Search {
 public:
  explicit Search(const Graph& graph) : graph_(graph) {}

  std::optional<AttentionNodes> from(std::size_t softmax) {
    found_ = {};
    found_.softmax = softmax;
    const Node& node = graph_.nodes[softmax];
    const mil::Type& type = graph_.value_of(node.outputs[0]).type;
    const auto rank = static_cast<std::int64_t>(type.dims.size());
    if (node.is_known || rank < 2 || rank > kMaxRank || !is_float(type.dtype)) return {};
    if (dtype_size(type.dtype) < 2) return {};
    const std::int64_t axis = graph_.context(softmax).integer("axis");
    if (axis != -1 && axis != rank - 1) return {};
    dims_ = type.dims;
    dtype_ = type.dtype;
    const bool is_empty = std::any_of(dims_.begin(), dims_.end(), [](auto d) { return d <= 0; });
    if (is_empty || dims_[dims_.size() - 2] < kFewQueries) return {};
    if (!find_result() || !find_scores(node.inputs[0])) return {};
    return found_;
  }

 private:
  bool is_operation(std::size_t node, std::string_view name) const {
    return graph_.nodes[node].record->op == name && !graph_.nodes[node].is_known;
  }
  const mil::Type& type_of(ValueId value) const { return graph_.value_of(value).type; }
  bool fits(ValueId value) const {
    return type_of(value).dims == dims_ && type_of(value).dtype == dtype_;
  }

  /// The producer of a value that has these dimensions and only one reader.
  std::optional<std::size_t> only_for_one(ValueId value) const {
    const auto producer = graph_.producer.find(value);
    const auto readers = graph_.consumers.find(value);
    if (producer == graph_.producer.end() || readers == graph_.consumers.end()) return {};
    if (readers->second.size() != 1 || graph_.is_output(value) || !fits(value)) return {};
    return producer->second;
  }

  static bool has_rows(const mil::Type& type) { return type.dims.size() >= 2; }

  bool find_result() {
    const ValueId weights = graph_.nodes[found_.softmax].outputs[0];
    const auto readers = graph_.consumers.find(weights);
    if (readers == graph_.consumers.end()) return false;
    found_.result = *std::min_element(readers->second.begin(), readers->second.end());
    found_.stores_weights = readers->second.size() > 1 || graph_.is_output(weights);
    if (!is_operation(found_.result, "matmul")) return false;
    const Node& node = graph_.nodes[found_.result];
    found_.weights_are_right = node.inputs[1] == weights;
    const ValueId value = node.inputs[found_.weights_are_right ? 0 : 1];
    const mil::OpContext op = graph_.context(found_.result);
    const bool is_turned = op.boolean(found_.weights_are_right ? "transpose_y" : "transpose_x");
    if (is_turned != found_.weights_are_right || value == weights) return false;
    const mil::Type& result = type_of(node.outputs[0]);
    return has_rows(type_of(value)) && type_of(value).dtype == dtype_ &&
           result.dims.size() == dims_.size() &&
           std::equal(dims_.begin(), dims_.end() - 2, result.dims.begin()) &&
           std::all_of(result.dims.begin(), result.dims.end(), [](auto d) { return d > 0; });
  }

  /// Upwards from what the softmax reads.
  bool find_scores(ValueId value) {
    const std::optional<std::size_t> node = only_for_one(value);
    if (!node) return false;
    if (is_operation(*node, "matmul")) {
      const Node& product = graph_.nodes[*node];
      found_.scores = *node;
      return has_rows(type_of(product.inputs[0])) && has_rows(type_of(product.inputs[1])) &&
             std::min(type_of(product.inputs[0]).dims.back(),
                      *(type_of(product.inputs[0]).dims.end() - 2)) > 0;
    }
    if (!found_.masking && !found_.scaling && is_operation(*node, "add")) {
      found_.masking = node;
      return find_past(*node, found_.mask);
    }
    if (!found_.scaling && (is_operation(*node, "mul") || is_operation(*node, "real_div"))) {
      found_.scaling = node;
      return find_past(*node, found_.factor) && is_number(found_.factor);
    }
    return false;
  }

  /// Upwards through an operation on the scores and `other`.
  bool find_past(std::size_t node, ValueId& other) {
    const AttentionNodes before = found_;
    const auto& inputs = graph_.nodes[node].inputs;
    const bool commutes = !is_operation(node, "real_div");
    for (std::size_t i = 0; i < (commutes ? 2U : 1U); ++i) {
      if (type_of(inputs[1 - i]).dtype == dtype_ && find_scores(inputs[i])) {
        other = inputs[1 - i];
        return true;
      }
      found_ = before;
    }
    return false;
  }

  bool is_number(ValueId value) const {
    return graph_.is_known(value) && element_count(type_of(value).dims) == 1;
  }

  const Graph& graph_;
  AttentionNodes found_;
  Shape dims_;  ///< Of scores and weights.
  DType dtype_ = DType::kFp16;
};

TensorLayout batch_of(TensorLayout layout) {
  layout.rank = std::max(0, layout.rank - 2);
  return layout;
}

/// The last two dimensions, as they are or turned over, for every head of `batch`.
GemmOperand matrices(const TensorLayout& x, bool is_transposed, const TensorLayout& batch) {
  GemmOperand result{.dtype = x.dtype,
                     .row_stride = x.stride(x.rank - 2),
                     .col_stride = x.stride(x.rank - 1),
                     .offsets = broadcast_offsets(batch_of(x), batch)};
  if (is_transposed) std::swap(result.row_stride, result.col_stride);
  return result;
}

}  // namespace

NodeGroup AttentionNodes::group() const {
  NodeGroup group = {scores, softmax, result};
  if (scaling) group.push_back(*scaling);
  if (masking) group.push_back(*masking);
  std::sort(group.begin(), group.end());
  return group;
}

std::vector<AttentionNodes> find_attention(const Graph& graph) {
  std::vector<AttentionNodes> all;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].record->op != "softmax") continue;
    const auto found = Search(graph).from(i);
    // The second product of one may be the first of another, or of both: whoever comes first has
    // it.
    const bool is_taken = found && std::any_of(all.begin(), all.end(), [&](const auto& other) {
                            return other.result == found->scores || other.result == found->result;
                          });
    if (found && !is_taken) all.push_back(*found);
  }
  return all;
}

bool AttentionBuilder::is_transposed(std::size_t node, bool is_right) const {
  return graph_.context(node).boolean(is_right ? "transpose_y" : "transpose_x");
}

std::vector<ValueId> AttentionBuilder::inputs() const {
  const auto& scores = graph_.nodes[nodes_.scores].inputs;
  const auto& result = graph_.nodes[nodes_.result].inputs;
  std::vector<ValueId> all = {scores[0], scores[1], result[nodes_.weights_are_right ? 0 : 1]};
  if (nodes_.masking) all.push_back(nodes_.mask);
  return all;
}

std::vector<ValueId> AttentionBuilder::outputs() const {
  std::vector<ValueId> all = {graph_.nodes[nodes_.result].outputs[0]};
  if (nodes_.stores_weights) all.push_back(graph_.nodes[nodes_.softmax].outputs[0]);
  return all;
}

std::unique_ptr<Step> AttentionBuilder::make(const std::vector<TensorView>& inputs,
                                             const std::vector<TensorLayout>& outputs,
                                             float factor) const {
  const TensorLayout scores = graph_.layout_of(graph_.nodes[nodes_.scores].outputs[0]);
  const TensorLayout batch = batch_of(scores);
  const bool is_right = nodes_.weights_are_right;
  AttentionSpec spec{.n_heads = batch.count(),
                     .n_queries = scores.dim(scores.rank - 2),
                     .n_keys = scores.dim(scores.rank - 1)};
  spec.query = matrices(inputs[0], is_transposed(nodes_.scores, false), batch);
  spec.key = matrices(inputs[1], !is_transposed(nodes_.scores, true), batch);
  // [n_keys, value_width] and [n_queries, value_width], whichever side the weights are on.
  spec.value = matrices(inputs[2], is_transposed(nodes_.result, !is_right) != is_right, batch);
  spec.out = matrices(outputs[0], is_right, batch);
  spec.width = inputs[0].dim(inputs[0].rank - (is_transposed(nodes_.scores, false) ? 2 : 1));
  spec.value_width = outputs[0].dim(outputs[0].rank - (is_right ? 2 : 1));
  spec.dtype = scores.dtype;
  if (nodes_.scaling) {
    const bool divides = graph_.nodes[*nodes_.scaling].record->op == "real_div";
    spec.scaling = divides ? SoftmaxPanel::Scaling::kDivide : SoftmaxPanel::Scaling::kMultiply;
    spec.factor = factor;
  }
  if (nodes_.masking) {
    spec.has_mask = true;
    spec.mask = matrices(broadcast_to(inputs[3], scores.shape()), false, batch);
  }
  if (nodes_.stores_weights) {
    spec.stores_weights = true;
    spec.weights = matrices(outputs[1], false, batch);
  }
  return make_attention(std::move(spec), nodes_.masking ? inputs[3].data : nullptr);
}

}  // namespace pyane::emulator
