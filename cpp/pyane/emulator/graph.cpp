#include "pyane/emulator/graph.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "pyane/base/cpu.h"
#include "pyane/base/error.h"
#include "pyane/emulator/kernels/conv_int8.h"
#include "pyane/emulator/kernels/reshape.h"

namespace pyane::emulator {
namespace {

/// Larger tensors are refused at compile time rather than by the allocator.
constexpr std::int64_t kMaxTensorBytes = std::int64_t{1} << 40;

/// Of one function: what operations of constants give, and what compressed weights become.
constexpr std::int64_t kMaxFoldedBytes = std::int64_t{1} << 26;
constexpr std::int64_t kMaxUnpackedBytes = std::int64_t{1} << 36;

std::size_t at(ValueId value) { return static_cast<std::size_t>(value); }

[[noreturn]] void refuse(const mil::VerifiedFunction& function,
                         const mil::VerifiedOperation& operation, const std::string& message) {
  const mil::Location& place = operation.operation->location;
  std::string text;
  if (place.line > 0) {
    text = std::string(function.source_name) + ":" + std::to_string(place.line) + ":" +
           std::to_string(place.column) + ": ";
  }
  throw UnsupportedOpError(
      text + operation.record->name + " '" + operation.operation->display_name() + "': " + message,
      operation.record->name, place.line, place.column);
}

void require_kernel(const mil::VerifiedFunction& function,
                    const mil::VerifiedOperation& operation) {
  if (find_kernel(operation.record->name) != nullptr) return;
  refuse(function, operation, "the emulator does not evaluate this operation");
}

bool is_open(const mil::Type& type) { return type.is_tensor() && !element_count(type.dims); }

/// Results whose size depends on values, as that of non_zero does, have no memory to go to.
void require_known_results(const mil::VerifiedFunction& function,
                           const mil::VerifiedOperation& operation) {
  const auto type_of = [&](ValueId value) -> const mil::Type& {
    return function.values[at(value)].type;
  };
  for (const mil::VerifiedInput& input : operation.inputs) {
    // The fault is where the unknown dimension comes from.
    const auto& values = input.values;
    if (std::any_of(values.begin(), values.end(), [&](auto v) { return is_open(type_of(v)); })) {
      return;
    }
  }
  for (const ValueId value : operation.outputs) {
    if (!is_open(type_of(value))) continue;
    refuse(function, operation,
           "the emulator must know every dimension of its result '" +
               function.values[at(value)].name + "' when compiling, got " +
               to_string(type_of(value)));
  }
}

bool is_state(const mil::VerifiedFunction& function, ValueId value) {
  return function.values[at(value)].type.kind == mil::Type::Kind::kState;
}

/// How an operation is evaluated, and what it then reads.
struct Choice {
  const KernelRecord* record;
  std::vector<ValueId> operands;
};

std::vector<ValueId> operands_of(const mil::VerifiedFunction& function,
                                 const mil::VerifiedOperation& operation) {
  std::vector<ValueId> values;
  for (const std::string_view name : find_kernel(operation.record->name)->operands) {
    const mil::VerifiedInput* const found = operation.find_input(name);
    if (found == nullptr) {
      values.push_back(-1);
    } else {
      values.insert(values.end(), found->values.begin(), found->values.end());
    }
  }
  for (const mil::VerifiedBlock& block : operation.blocks) {
    for (const ValueId value : captured_by(function, block)) {
      if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
    }
  }
  return values;
}

/// Whether `operation` does something beside making its results.
bool changes_a_state(const mil::VerifiedOperation& operation) {
  if (find_kernel(operation.record->name) != nullptr &&
      find_kernel(operation.record->name)->writes_state) {
    return true;
  }
  return std::any_of(operation.blocks.begin(), operation.blocks.end(),
                     [](const auto& block) { return !states_written_by(block).empty(); });
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

Unit unit_of(const mil::VerifiedFunction& function) {
  Unit unit{.function = function,
            .operations = function.operations,
            .parameters = {},
            .states = {},
            .outputs = function.outputs,
            .budget = std::make_shared<ConstantBudget>()};
  for (const ValueId value : function.parameters) {
    (is_state(function, value) ? unit.states : unit.parameters).push_back(value);
  }
  for (auto* const values : {&unit.parameters, &unit.states, &unit.outputs}) {
    std::sort(values->begin(), values->end(), [&](ValueId a, ValueId b) {
      return function.values[at(a)].name < function.values[at(b)].name;
    });
  }
  return unit;
}

namespace {

void collect_captured(const mil::VerifiedFunction& function, const mil::VerifiedBlock& block,
                      std::unordered_set<ValueId>& defined, std::vector<ValueId>& captured) {
  const auto read = [&](ValueId value) {
    if (defined.count(value) == 0 && function.values[at(value)].constant == nullptr) {
      captured.push_back(value);
    }
  };
  defined.insert(block.parameters.begin(), block.parameters.end());
  for (const mil::VerifiedOperation& operation : block.operations) {
    for (const mil::VerifiedInput& input : operation.inputs) {
      for (const ValueId value : input.values) read(value);
    }
    for (const mil::VerifiedBlock& nested : operation.blocks) {
      collect_captured(function, nested, defined, captured);
    }
    defined.insert(operation.outputs.begin(), operation.outputs.end());
  }
  for (const ValueId value : block.outputs) read(value);
}

}  // namespace

std::vector<ValueId> captured_by(const mil::VerifiedFunction& function,
                                 const mil::VerifiedBlock& block) {
  std::unordered_set<ValueId> defined;
  std::vector<ValueId> captured;
  collect_captured(function, block, defined, captured);
  std::sort(captured.begin(), captured.end());
  captured.erase(std::unique(captured.begin(), captured.end()), captured.end());
  return captured;
}

std::vector<ValueId> states_written_by(const mil::VerifiedBlock& block) {
  std::vector<ValueId> states;
  for (const mil::VerifiedOperation& operation : block.operations) {
    const KernelRecord* const record = find_kernel(operation.record->name);
    if (record != nullptr && record->writes_state) {
      states.push_back(operation.find_input(record->operands[0])->values[0]);
    }
    for (const mil::VerifiedBlock& nested : operation.blocks) {
      const std::vector<ValueId> inner = states_written_by(nested);
      states.insert(states.end(), inner.begin(), inner.end());
    }
  }
  std::sort(states.begin(), states.end());
  states.erase(std::unique(states.begin(), states.end()), states.end());
  return states;
}

Graph::Graph(const Unit& unit, FindKernel find)
    : function(unit.function), outputs(unit.outputs), budget(unit.budget) {
  std::unordered_map<ValueId, const mil::VerifiedOperation*> makers;
  for (const mil::VerifiedOperation& operation : unit.operations) {
    for (const ValueId value : operation.outputs) makers[value] = &operation;
  }
  // An engine's own arithmetic has no such products.
  const bool has_int8_conv = find("conv")->prepare == find_kernel("conv")->prepare;
  const auto choose = [&](const mil::VerifiedOperation& operation) -> Choice {
    if (has_int8_conv) {
      std::vector<ValueId> operands = int8_conv_operands(function, operation, [&](ValueId value) {
        const auto found = makers.find(value);
        return found == makers.end() ? nullptr : found->second;
      });
      if (!operands.empty()) return {&int8_conv_record(), std::move(operands)};
    }
    return {find(operation.record->name), operands_of(function, operation)};
  };

  // Only what the outputs and the states need, found backwards.
  std::unordered_set<ValueId> needed_values(outputs.begin(), outputs.end());
  std::vector<const mil::VerifiedOperation*> needed;
  for (auto i = unit.operations.rbegin(); i != unit.operations.rend(); ++i) {
    const bool is_folded = std::any_of(i->outputs.begin(), i->outputs.end(), [&](ValueId value) {
      return value_of(value).constant != nullptr;
    });
    if (is_folded) continue;
    require_kernel(function, *i);
    const bool is_needed =
        std::any_of(i->outputs.begin(), i->outputs.end(),
                    [&](ValueId value) { return needed_values.count(value) != 0; }) ||
        changes_a_state(*i);
    if (!is_needed) continue;
    needed.push_back(&*i);
    for (const ValueId value : choose(*i).operands) needed_values.insert(value);
  }
  for (auto i = needed.rbegin(); i != needed.rend(); ++i) {
    const mil::VerifiedOperation& operation = **i;
    require_known_results(function, operation);
    const std::size_t node = nodes.size();
    Choice choice = choose(operation);
    nodes.push_back({.operation = &operation,
                     .record = choice.record,
                     .inputs = std::move(choice.operands),
                     .outputs = operation.outputs});
    const std::vector<ValueId>& inputs = nodes.back().inputs;
    // In this order: a result of unknown size is not the fault, but what it is made of.
    nodes.back().is_known = std::all_of(inputs.begin(), inputs.end(),
                                        [&](ValueId v) { return v < 0 || is_known(v); }) &&
                            can_be_known(nodes.back());
    for (const ValueId value : operation.outputs) producer[value] = node;
    for (const ValueId value : inputs) {
      if (value >= 0) consumers[value].push_back(node);
    }
  }
}

bool Graph::can_be_known(const Node& node) {
  const mil::OpRecord& record = *node.operation->record;
  if (record.is_impure || node.record->is_random || !node.operation->blocks.empty()) return false;
  std::int64_t n_bytes = 0;
  for (const ValueId value : node.outputs) {
    const TensorLayout layout = layout_of(value);
    n_bytes += layout.count() * static_cast<std::int64_t>(layout.element_bytes());
  }
  if (record.is_constexpr) {
    // A system that overcommits would kill the process rather than refuse.
    static const std::int64_t most = std::min(kMaxUnpackedBytes, memory_of_machine());
    budget->unpacked_bytes += n_bytes;
    if (budget->unpacked_bytes > most) {
      throw CompileError(std::string(function.source_name) +
                         ": compressed weights take more than " + std::to_string(most) +
                         " bytes when unpacked, the most that the emulator takes on this machine");
    }
    return true;
  }
  // A short text can ask for gigabytes: beyond the limit they are made when evaluating, in memory
  // that is used again.
  if (n_bytes > kMaxFoldedBytes - budget->folded_bytes) return false;
  budget->folded_bytes += n_bytes;
  return true;
}

std::string Graph::describe(ValueId value) const {
  const mil::VerifiedValue& known = value_of(value);
  return (known.name.empty() ? std::string("a literal") : "'" + known.name + "'") + " of type " +
         to_string(known.type);
}

TensorLayout Graph::layout_of(ValueId value) const {
  mil::Type type = value_of(value).type;
  const std::string where =
      std::string(function.source_name) + ": the emulator cannot store " + describe(value);
  if (type.kind == mil::Type::Kind::kState) type = type.elements.at(0);
  if (type.kind == mil::Type::Kind::kList && type.elements.at(0).is_tensor()) {
    mil::Type element = type.elements[0];
    element.dims.insert(element.dims.begin(), type.length);
    type = std::move(element);
  }
  if (type.kind == mil::Type::Kind::kTensorBuffer) {
    const bool is_plain =
        std::all_of(type.interleave_factors.begin(), type.interleave_factors.end(),
                    [](std::int64_t factor) { return factor == 1; });
    if (!is_plain || !element_count(type.dims) || type.strides != contiguous_strides(type.dims)) {
      throw CompileError(where + ": only buffers without gaps and interleaving");
    }
    type.kind = mil::Type::Kind::kTensor;
  }
  if (!type.is_tensor() || type.dtype == DType::kString) {
    throw CompileError(where + ": tensors of numbers and bools only");
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
    return graph.producer.count(value) != 0 && !graph.is_output(value) && homes.count(value) == 0 &&
           !graph.is_known(value);
  };
  for (std::size_t node = graph.nodes.size(); node-- > 0;) {
    const Node& known = graph.nodes[node];
    if (known.is_known) continue;
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
