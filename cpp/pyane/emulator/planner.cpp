#include "pyane/emulator/planner.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "pyane/base/error.h"
#include "pyane/base/interrupt.h"
#include "pyane/emulator/attention_builder.h"
#include "pyane/emulator/chain_builder.h"
#include "pyane/emulator/control_flow.h"
#include "pyane/emulator/graph.h"
#include "pyane/emulator/hardware/kernels.h"
#include "pyane/emulator/kernels/copy.h"
#include "pyane/emulator/kernels/elements.h"
#include "pyane/emulator/kernels/fused.h"
#include "pyane/emulator/places.h"
#include "pyane/emulator/plan_memory.h"
#include "pyane/mil/cost.h"

namespace pyane::emulator {
namespace {

using mil::OpContext;

class Planner {
 public:
  Planner(const Unit& unit, const PlanOptions& options, const KnownConstants& known)
      : unit_(unit),
        options_(options),
        known_(known),
        graph_(unit, hardware::kernels_for(options.hardware)),
        places_(graph_, memory_, options.optimizes),
        is_emitted_(graph_.nodes.size(), false) {}

  Plan run() {
    plan_.groups.emplace_back();
    collect_surfaces();
    std::vector<NodeGroup> attention;
    // An engine's arithmetic is evaluated operation by operation.
    if (options_.optimizes && options_.hardware == nullptr) attention_ = find_attention(graph_);
    for (const AttentionNodes& nodes : attention_) attention.push_back(nodes.group());
    for (const NodeGroup& group :
         fuse(graph_.nodes, graph_.function, attention, options_.optimizes)) {
      check_interrupt();  // Constants are worked out here: that may take long.
      name_group(group);
      emit(group);
      for (const std::size_t node : group) is_emitted_[node] = true;
    }
    memory_.begin_group(0);
    for (const ValueId value : unit_.outputs) {
      const Place& target = places_.output(value);
      if (!places_.is_made_at(value, target)) memory_.add_copy(places_.of(value), target);
    }
    memory_.finish(plan_);
    return std::move(plan_);
  }

 private:
  // ---- Surfaces and states

  Place add_surface(ValueId value, Address::Base base, std::vector<TensorSpec>& specs) {
    const TensorLayout layout = graph_.layout_of(value);
    if (dtype_info(layout.dtype).bits < 8) {
      throw CompileError(std::string(graph_.function.source_name) + ": a surface cannot hold " +
                         graph_.describe(value) +
                         ": element types of less than 8 bits are for constants only");
    }
    specs.push_back(
        {graph_.value_of(value).name, layout.dtype, layout.shape(), dense_bytes(layout)});
    const auto index = static_cast<std::uint32_t>(specs.size() - 1);
    return {memory_.add_external(base, index), 0, layout};
  }

  void collect_surfaces() {
    for (const ValueId value : unit_.parameters) {
      const Place surface = add_surface(value, Address::Base::kInput, plan_.inputs);
      places_.set(value, is_bool(surface) ? cleaned(surface) : surface);
    }
    for (const ValueId value : unit_.outputs) {
      places_.set_output(value, add_surface(value, Address::Base::kOutput, plan_.outputs));
    }
    for (const ValueId value : unit_.states) {
      const Place state = add_surface(value, Address::Base::kState, plan_.states);
      places_.watch(state.buffer);
      states_.insert_or_assign(value, state);
    }
    for (const auto& [value, constant] : known_) {
      places_.set(value, memory_.constant(constant.layout, constant.data, constant.owner));
    }
  }

  static bool is_bool(const Place& place) { return place.layout.dtype == DType::kBool; }

  /// Surfaces may hold any byte; kernels count on 0 and 1 for a bool.
  Place cleaned(const Place& place) {
    const Place clean = memory_.fresh(place.layout);
    memory_.add_step(make_bool_copy(place.layout, clean.layout), {place}, {clean});
    return clean;
  }

  // ---- Steps

  /// What is emitted next is told as these nodes.
  void name_group(const NodeGroup& group) {
    PlannedGroup named{.operations = {},
                       .output = {},
                       .line = 0,
                       .flops = 0.0,
                       .is_control = graph_.nodes[group[0]].record->is_control};
    for (const std::size_t member : group) {
      const Node& node = graph_.nodes[member];
      if (node.is_known) return;  // Nothing to evaluate.
      named.operations.push_back(node.record->op);
      const auto flops = mil::flops(graph_.function, *node.operation);
      named.flops = named.flops && flops ? std::optional(*named.flops + *flops) : std::nullopt;
    }
    if (named.is_control) named.flops.reset();
    const mil::VerifiedOperation& first = *graph_.nodes[group[0]].operation;
    named.line = first.operation->location.line;
    // write_state makes nothing.
    named.output = first.outputs.empty() ? first.operation->display_name()
                                         : graph_.value_of(first.outputs[0]).name;
    memory_.begin_group(plan_.groups.size());
    plan_.groups.push_back(std::move(named));
  }

  void emit(const NodeGroup& group) {
    const KernelRecord& record = *graph_.nodes[group[0]].record;
    const bool is_chain = options_.optimizes && record.along_axis != AxisForm::kNone &&
                          chain_shape(graph_.nodes[group[0]], graph_.function);
    const auto attention =
        std::find_if(attention_.begin(), attention_.end(),
                     [&](const AttentionNodes& nodes) { return nodes.result == group.back(); });
    if (attention != attention_.end()) {
      emit_attention(*attention);
    } else if (record.tile != nullptr || is_chain) {
      emit_fused(group);
    } else if (record.is_control) {
      emit_control(group[0]);
    } else if (record.reads_state || record.writes_state) {
      emit_state_access(group[0]);
    } else if (record.place != nullptr) {
      emit_place(group[0]);
    } else if (record.op == "slice_update" && updates_state(group[0])) {
      emit_state_update(group[0]);
    } else if (record.view == nullptr || !emit_view(group[0])) {
      emit_prepared(group[0]);
    }
  }

  /// false: the operation is no view of its operand; it has a prepared step instead.
  bool emit_view(std::size_t index) {
    const Node& node = graph_.nodes[index];
    const OpContext op = graph_.context(index);
    if (places_.is_at_home(node.inputs[0], index, 0)) return true;
    Place x = places_.of(node.inputs[0]);
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId result = node.outputs[i];
      const Shape& dims = graph_.layout_of(result).shape();
      std::optional<SubTensor> view = node.record->view(op, x.layout, i, dims);
      if (!view) {
        if (node.record->prepare != nullptr) return false;
        x = memory_.contiguous(x);
        view = node.record->view(op, x.layout, i, dims);
        if (!view) op.fail("the emulator needs its bounds at compile time");
      }
      emit_alias(result, {x.buffer, x.offset + view->offset, view->layout}, node.is_known);
    }
    return true;
  }

  /// `value` is what stands at `place`: no work, unless it is wanted elsewhere.
  void emit_alias(ValueId value, const Place& place, bool is_known) {
    if (is_known || (options_.optimizes && places_.is_free(value))) {
      places_.set(value, place);
    } else {
      memory_.add_copy(place, places_.target_of(value));
    }
  }

  void emit_place(std::size_t index) {
    const Node& node = graph_.nodes[index];
    const OpContext op = graph_.context(index);
    const Place whole = node.is_known ? memory_.new_constant(graph_.layout_of(node.outputs[0]))
                                      : places_.target_of(node.outputs[0]);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (places_.is_at_home(node.inputs[i], index, i)) continue;
      const SubTensor part = node.record->place(op, whole.layout, i);
      const Place target{whole.buffer, whole.offset + part.offset, part.layout};
      if (node.is_known) {
        memory_.copy_now(places_.of(node.inputs[i]), target);
      } else {
        memory_.add_copy(places_.of(node.inputs[i]), target);
      }
    }
    if (node.is_known) places_.set(node.outputs[0], whole);
  }

  /// Operands in the order of the record, contiguous unless the kernel takes strides.
  Inputs inputs_of(const Node& node) {
    Inputs inputs;
    for (const ValueId value : node.inputs) {
      if (value < 0) {
        inputs.emplace_back();
        continue;
      }
      const auto state = states_.find(value);
      const Place place = state == states_.end() ? places_.of(value) : state->second;
      inputs.emplace_back(node.record->strided_inputs ? place : memory_.contiguous(place));
    }
    return inputs;
  }

  void emit_prepared(std::size_t index) {
    const Node& node = graph_.nodes[index];
    const OpContext op = graph_.context(index);
    const Inputs inputs = inputs_of(node);
    emit_step(node, inputs, [&](const std::vector<TensorView>& outputs) {
      std::vector<TensorView> views;
      for (const auto& input : inputs) {
        views.push_back(input ? memory_.view_of(*input) : absent_tensor());
      }
      return node.record->prepare({.op = op,
                                   .inputs = views,
                                   .outputs = outputs,
                                   .hardware = options_.hardware,
                                   .function = &graph_.function,
                                   .node_inputs = node.inputs});
    });
  }

  /// Adds the step that make(outputs) gives for the layouts of the node's outputs, or runs it now.
  template <typename Make>
  void emit_step(const Node& node, const Inputs& inputs, const Make& make) {
    std::vector<Place> targets;
    std::vector<Place> written;
    std::vector<TensorView> views;
    for (const ValueId value : node.outputs) {
      Place target;
      if (node.is_known) {
        target.layout = graph_.layout_of(value);
      } else {
        target = places_.target_of(value);
      }
      targets.push_back(target);
      if (!node.record->strided_outputs && !target.layout.is_contiguous()) {
        target = memory_.fresh(graph_.layout_of(value));
      }
      written.push_back(target);
      TensorView view;
      static_cast<TensorLayout&>(view) = target.layout;
      views.push_back(view);
    }
    std::unique_ptr<Step> step = make(views);
    if (node.is_known) return keep(*step, inputs, node.outputs);
    memory_.add_step(std::move(step), inputs, written);
    for (std::size_t i = 0; i < targets.size(); ++i) {
      if (written[i].buffer != targets[i].buffer) memory_.add_copy(written[i], targets[i]);
    }
  }

  /// Evaluates a step of constants at compile time.
  void keep(const Step& step, const Inputs& inputs, const std::vector<ValueId>& outputs) {
    std::vector<TensorLayout> layouts;
    for (const ValueId value : outputs) layouts.push_back(graph_.layout_of(value));
    const std::vector<Place> places = memory_.fold(step, inputs, layouts);
    for (std::size_t i = 0; i < outputs.size(); ++i) places_.set(outputs[i], places[i]);
  }

  // ---- Chains

  void emit_fused(const NodeGroup& group) {
    ChainBuilder builder(graph_, group);
    Inputs inputs;
    for (const ChainBuilder::Input& input : builder.inputs()) {
      const Place place = places_.of(input.value);
      builder.add_input(input, place.layout);
      inputs.emplace_back(place);
    }
    if (graph_.nodes[group[0]].is_known) {
      for (const ValueId value : builder.outputs()) builder.add_output(graph_.layout_of(value));
      return keep(*make_fused(builder.take()), inputs, builder.outputs());
    }
    std::vector<Place> outputs;
    for (const ValueId value : builder.outputs()) {
      outputs.push_back(places_.target_of(value));
      builder.add_output(outputs.back().layout);
    }
    FusedChain chain = builder.take();
    chain.may_tabulate = options_.optimizes;
    memory_.add_step(make_fused(std::move(chain)), inputs, outputs);
  }

  void emit_attention(const AttentionNodes& nodes) {
    const AttentionBuilder builder(graph_, nodes);
    Inputs inputs;
    std::vector<TensorView> views;
    for (const ValueId value : builder.inputs()) {
      inputs.emplace_back(places_.of(value));
      views.push_back(memory_.view_of(*inputs.back()));
    }
    std::vector<Place> outputs;
    std::vector<TensorLayout> layouts;
    for (const ValueId value : builder.outputs()) {
      outputs.push_back(places_.target_of(value));
      layouts.push_back(outputs.back().layout);
    }
    float factor = 1.0F;
    if (nodes.scaling) {
      const TensorView number = memory_.view_of(places_.of(nodes.factor));
      load_floats(number.dtype, number.data, &factor, 1);
    }
    memory_.add_step(builder.make(views, layouts, factor), inputs, outputs);
  }

  // ---- States and control flow

  /// Reading a state costs nothing until somebody writes it: then what is still needed of the old
  /// contents is copied first.
  void emit_state_access(std::size_t index) {
    const Node& node = graph_.nodes[index];
    const Place& state = states_.at(node.inputs[0]);
    if (node.record->writes_state && !is_all_of(places_.of(node.inputs[1]), state)) {
      preserve(node.inputs[0], index);
      Place data = places_.of(node.inputs[1]);
      if (data.buffer == state.buffer) {
        // A view of the state itself: its own contents, or elements in another order.
        const Place copy = memory_.fresh(graph_.layout_of(node.inputs[1]));
        memory_.add_copy(data, copy);
        data = copy;
      }
      memory_.add_copy(data, state);
    }
    if (!node.record->reads_state) return;
    const ValueId result = node.outputs[0];
    emit_alias(result, is_bool(state) ? cleaned(state) : state, false);
  }

  /// The contents of a state as they are: writing them to it changes nothing.
  static bool is_all_of(const Place& place, const Place& state) {
    return place.buffer == state.buffer && place.offset == state.offset &&
           place.layout.is_contiguous() && place.layout.dtype == state.layout.dtype;
  }

  /// The state that slice_update `index` may change in place, as its result is what the state is to
  /// hold next, without anybody looking at the state in between; nullptr: none.
  const Place* updates_state(std::size_t index) {
    const Node& node = graph_.nodes[index];
    const ValueId result = node.outputs[0];
    const auto readers = graph_.consumers.find(result);
    if (!options_.optimizes || node.is_known || !places_.is_free(result) ||
        node.record->prepare == nullptr || !node.record->strided_outputs ||
        readers == graph_.consumers.end()) {
      return nullptr;
    }
    for (const std::size_t reader : readers->second) {
      const Node& writer = graph_.nodes[reader];
      if (!writer.record->writes_state || writer.inputs[1] != result) continue;
      const ValueId state = writer.inputs[0];
      const Place& place = states_.at(state);
      const auto touches = [&](const Node& other) {
        return std::find(other.inputs.begin(), other.inputs.end(), state) != other.inputs.end();
      };
      const auto nodes = graph_.nodes.begin();
      const bool is_free = std::none_of(nodes + static_cast<std::ptrdiff_t>(index) + 1,
                                        nodes + static_cast<std::ptrdiff_t>(reader), touches);
      const bool reads_others =
          std::none_of(node.inputs.begin() + 1, node.inputs.end(),
                       [&](ValueId v) { return v >= 0 && places_.of(v).buffer == place.buffer; });
      if (is_free && reads_others && is_all_of(places_.of(node.inputs[0]), place)) return &place;
    }
    return nullptr;
  }

  void emit_state_update(std::size_t index) {
    const Node& node = graph_.nodes[index];
    const Place state = *updates_state(index);
    for (const auto& [value, place] : states_) {
      if (place.buffer == state.buffer) preserve(value, index);
    }
    // With the layout of the result, in the state's memory: the step need not copy x.
    Place target = state;
    target.layout = graph_.layout_of(node.outputs[0]);
    places_.set(node.outputs[0], target);
    emit_prepared(index);
  }

  /// Copies what operations not yet emitted read of a state that is about to change. `current` is
  /// the node that changes it; one with blocks may read and write in any order.
  void preserve(ValueId state, std::size_t current) {
    const std::size_t buffer = states_.at(state).buffer;
    const std::vector<ValueId> inside = places_.inside(buffer);
    for (const ValueId value : inside) {
      const Place place = places_.of(value);
      const auto readers = graph_.consumers.find(value);
      if (place.buffer != buffer || readers == graph_.consumers.end()) continue;
      const bool is_needed =
          std::any_of(readers->second.begin(), readers->second.end(), [&](std::size_t reader) {
            return reader == current ? graph_.nodes[current].record->is_control
                                     : !is_emitted_[reader];
          });
      if (!is_needed) continue;
      const Place copy = memory_.fresh(graph_.layout_of(value));
      memory_.add_copy(place, copy);
      places_.set(value, copy);
    }
  }

  void emit_control(std::size_t index) {
    const Node& node = graph_.nodes[index];
    for (const mil::VerifiedBlock& block : node.operation->blocks) {
      for (const ValueId state : states_written_by(block)) preserve(state, index);
    }
    const Inputs inputs = inputs_of(node);
    KnownConstants known;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i] || !memory_.is_constant(*inputs[i])) continue;
      const TensorView view = memory_.view_of(*inputs[i]);
      known[node.inputs[i]] = {view, view.data, memory_.owner_of(*inputs[i])};
    }
    emit_step(node, inputs, [&](const std::vector<TensorView>&) {
      return make_control_step(graph_, index, options_, known);
    });
  }

  const Unit& unit_;
  PlanOptions options_;
  const KnownConstants& known_;
  Plan plan_;
  Graph graph_;
  PlanMemory memory_;
  Places places_;
  std::map<ValueId, Place> states_;
  std::vector<bool> is_emitted_;
  std::vector<AttentionNodes> attention_;
};

}  // namespace

Plan plan_unit(const Unit& unit, const PlanOptions& options, const KnownConstants& known) {
  return Planner(unit, options, known).run();
}

Plan plan(const mil::VerifiedFunction& function, const PlanOptions& options) {
  return plan_unit(unit_of(function), options, {});
}

}  // namespace pyane::emulator
