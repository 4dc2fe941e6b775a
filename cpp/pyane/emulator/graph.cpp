#include "pyane/emulator/graph.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "pyane/base/error.h"
#include "pyane/emulator/kernels/reshape.h"

namespace pyane::emulator {
namespace {

/// Larger tensors are refused at compile time rather than by the allocator.
constexpr std::int64_t kMaxTensorBytes = std::int64_t{1} << 40;

std::size_t at(ValueId value) { return static_cast<std::size_t>(value); }

void require_kernel(const mil::VerifiedFunction& function,
                    const mil::VerifiedOperation& operation) {
  if (find_kernel(operation.record->name) != nullptr) return;
  const mil::Location& place = operation.operation->location;
  std::string text;
  if (place.line > 0) {
    text = std::string(function.source_name) + ":" + std::to_string(place.line) + ":" +
           std::to_string(place.column) + ": ";
  }
  throw UnsupportedOpError(text + operation.record->name + " '" +
                               operation.operation->display_name() +
                               "': the emulator does not evaluate this operation",
                           operation.record->name, place.line, place.column);
}

std::vector<ValueId> operands_of(const mil::VerifiedOperation& operation) {
  std::vector<ValueId> values;
  for (const std::string_view name : find_kernel(operation.record->name)->operands) {
    const auto found = std::find_if(operation.inputs.begin(), operation.inputs.end(),
                                    [&](const auto& input) { return input.spec->name == name; });
    if (found == operation.inputs.end()) {
      values.push_back(-1);
    } else {
      values.insert(values.end(), found->values.begin(), found->values.end());
    }
  }
  return values;
}

bool is_invertible_view(const Node& node) {
  static constexpr std::array kNames = {"expand_dims",  "flatten2d", "identity", "reshape",
                                        "reshape_like", "squeeze",   "transpose"};
  return std::find(kNames.begin(), kNames.end(), node.record->op) != kNames.end();
}

/// A transposed result that is reshaped next should be the contiguous one, if its producer can

/// write across.
bool wants_contiguous(const Graph& graph, std::size_t node) {
  if (graph.nodes[node].record->op != "transpose") return false;
  const ValueId x = graph.nodes[node].inputs[0];
  const auto producer = graph.producer.find(x);
  if (producer == graph.producer.end() || !graph.nodes[producer->second].record->strided_outputs) {
    return false;
  }
  const ValueId result = graph.nodes[node].outputs[0];
  const auto found = graph.consumers.find(result);
  if (found == graph.consumers.end()) return false;
  const auto view = graph.nodes[node].record->view(graph.context(node), graph.layout_of(x), 0,
                                                   graph.value_of(result).type.dims);
  return std::any_of(found->second.begin(), found->second.end(), [&](std::size_t consumer) {
    return graph.nodes[consumer].record->op == "reshape" && view &&
           !reshaped(view->layout, graph.value_of(graph.nodes[consumer].outputs[0]).type.dims);
  });
}

}  // namespace

Graph::Graph(const mil::VerifiedFunction& verified) : function(verified) {
  // Only what the outputs need, found backwards.
  std::vector<bool> is_needed(function.values.size(), false);
  for (const ValueId value : function.outputs) is_needed[at(value)] = true;
  std::vector<const mil::VerifiedOperation*> needed;
  for (auto i = function.operations.rbegin(); i != function.operations.rend(); ++i) {
    const bool is_used = std::any_of(i->outputs.begin(), i->outputs.end(), [&](ValueId value) {
      return is_needed[at(value)] && value_of(value).constant == nullptr;
    });
    const bool is_known = std::any_of(i->outputs.begin(), i->outputs.end(), [&](ValueId value) {
      return value_of(value).constant != nullptr;
    });
    if (!is_known) require_kernel(function, *i);
    if (!is_used) continue;
    needed.push_back(&*i);
    for (const ValueId value : operands_of(*i)) {
      if (value >= 0) is_needed[at(value)] = true;
    }
  }
  for (auto i = needed.rbegin(); i != needed.rend(); ++i) {
    const mil::VerifiedOperation& operation = **i;
    const std::size_t node = nodes.size();
    nodes.push_back({.operation = &operation,
                     .record = find_kernel(operation.record->name),
                     .inputs = operands_of(operation),
                     .outputs = operation.outputs});
    for (const ValueId value : operation.outputs) producer[value] = node;
    for (const ValueId value : nodes.back().inputs) {
      if (value >= 0) consumers[value].push_back(node);
    }
  }
}

std::string Graph::describe(ValueId value) const {
  const mil::VerifiedValue& known = value_of(value);
  return (known.name.empty() ? std::string("a literal") : "'" + known.name + "'") + " of type " +
         to_string(known.type);
}

TensorLayout Graph::layout_of(ValueId value) const {
  const mil::Type& type = value_of(value).type;
  const std::string where =
      std::string(function.source_name) + ": the emulator cannot store " + describe(value);
  if (!type.is_tensor() || type.dtype == DType::kString) {
    throw CompileError(where + ": tensors of numbers and bools only");
  }
  if (dtype_info(type.dtype).bits < 8) {
    throw CompileError(where + ": element types of less than 8 bits are for constants only");
  }
  if (type.dims.size() > static_cast<std::size_t>(kMaxRank)) {
    throw CompileError(where + ": at most " + std::to_string(kMaxRank) + " dimensions");
  }
  const std::optional<std::int64_t> count = element_count(type.dims);
  if (!count) {
    throw CompileError(where + ": every dimension must be known at compile time");
  }
  if (*count > kMaxTensorBytes / static_cast<std::int64_t>(dtype_size(type.dtype))) {
    throw CompileError(where + ": it is too large");
  }
  return TensorLayout::contiguous(type.dtype, type.dims);
}

bool Graph::is_read_outside(ValueId value, const NodeGroup& group) const {
  const auto found = consumers.find(value);
  return found != consumers.end() &&
         std::any_of(found->second.begin(), found->second.end(), [&](std::size_t consumer) {
           return std::find(group.begin(), group.end(), consumer) == group.end();
         });
}

std::unordered_map<ValueId, Home> choose_homes(const Graph& graph) {
  std::unordered_map<ValueId, Home> homes;
  const auto can_have_home = [&](ValueId value) {
    return graph.producer.count(value) != 0 && !graph.is_output(value) && homes.count(value) == 0;
  };
  for (std::size_t node = graph.nodes.size(); node-- > 0;) {
    const Node& known = graph.nodes[node];
    if (known.record->place != nullptr) {
      for (std::size_t i = 0; i < known.inputs.size(); ++i) {
        if (can_have_home(known.inputs[i])) homes[known.inputs[i]] = {node, i};
      }
    } else if (known.record->view != nullptr && is_invertible_view(known)) {
      const ValueId result = known.outputs[0];
      const bool has_place = graph.is_output(result) || homes.count(result) != 0;
      if ((has_place || wants_contiguous(graph, node)) && can_have_home(known.inputs[0])) {
        homes[known.inputs[0]] = {node, 0};
      }
    }
  }
  return homes;
}

}  // namespace pyane::emulator
