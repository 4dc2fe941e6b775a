#include "pyane/emulator/planner.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <map>
#include <new>
#include <optional>
#include <unordered_map>
#include <utility>

#include "pyane/base/error.h"
#include "pyane/emulator/arena.h"
#include "pyane/emulator/graph.h"
#include "pyane/emulator/iteration.h"
#include "pyane/emulator/kernels/copy.h"
#include "pyane/emulator/kernels/fused.h"
#include "pyane/emulator/kernels/reshape.h"
#include "pyane/emulator/scratch.h"

namespace pyane::emulator {
namespace {

using mil::OpContext;

std::size_t at(ValueId value) { return static_cast<std::size_t>(value); }

/// Memory that tensors live in.
struct Buffer {
  Address::Base base = Address::Base::kArena;
  std::uint32_t index = 0;
  const std::byte* constant = nullptr;
  std::size_t n_bytes = 0;
  std::optional<std::pair<std::size_t, std::size_t>> steps =
      std::nullopt;  ///< First and last that touch it.
};

/// Where a value is.
struct Place {
  std::size_t buffer = 0;
  std::int64_t offset = 0;  ///< In elements.
  TensorLayout layout;
};

class Planner {
 public:
  Planner(const mil::VerifiedFunction& function, const PlanOptions& options)
      : function_(function), options_(options), graph_(function), places_(function.values.size()) {}

  Plan run() {
    collect_parameters();
    groups_ = fuse(graph_.nodes, function_, options_.optimizes);
    if (options_.optimizes) home_ = choose_homes(graph_);
    for (const NodeGroup& group : groups_) emit(group);
    for (const ValueId value : function_.outputs) {
      const Place target = output_place(value);
      if (!(is_made_at(value, target))) emit_copy(place_of(value), target);
    }
    finish();
    return std::move(plan_);
  }

 private:
  static std::size_t n_bytes_of(const TensorLayout& layout) {
    return static_cast<std::size_t>(layout.count()) * layout.element_bytes();
  }

  // ---- Function signature

  std::vector<TensorSpec> specs_of(const std::vector<ValueId>& values,
                                   std::map<ValueId, std::uint32_t>& indices) const {
    std::vector<ValueId> sorted = values;
    std::sort(sorted.begin(), sorted.end(), [&](ValueId a, ValueId b) {
      return graph_.value_of(a).name < graph_.value_of(b).name;
    });
    std::vector<TensorSpec> specs;
    for (const ValueId value : sorted) {
      const TensorLayout layout = graph_.layout_of(value);
      indices[value] = static_cast<std::uint32_t>(specs.size());
      specs.push_back(
          {graph_.value_of(value).name, layout.dtype, layout.shape(), n_bytes_of(layout)});
    }
    return specs;
  }

  void collect_parameters() {
    std::map<ValueId, std::uint32_t> inputs;
    plan_.inputs = specs_of(function_.parameters, inputs);
    plan_.outputs = specs_of(function_.outputs, output_index_);
    for (const auto& [value, index] : inputs) {
      const TensorLayout layout = graph_.layout_of(value);
      places_[at(value)] =
          Place{add_buffer(
                    {.base = Address::Base::kInput, .index = index, .n_bytes = n_bytes_of(layout)}),
                0, layout};
    }
    for (const auto& [value, index] : output_index_) {
      output_buffer_[value] = add_buffer({.base = Address::Base::kOutput,
                                          .index = index,
                                          .n_bytes = n_bytes_of(graph_.layout_of(value))});
    }
  }

  // ---- Places

  std::size_t add_buffer(Buffer buffer) {
    buffers_.push_back(buffer);
    return buffers_.size() - 1;
  }

  Place fresh(const TensorLayout& layout) {
    return {add_buffer({.n_bytes = n_bytes_of(layout)}), 0, layout};
  }

  Place output_place(ValueId value) {
    return {output_buffer_.at(value), 0, graph_.layout_of(value)};
  }

  /// Where the producer of `value` writes it.
  Place target_of(ValueId value) {
    // Homes may be in homes, thousands deep in hostile text: a list, no recursion.
    std::vector<ValueId> homes = {value};
    while (!places_[at(homes.back())] && !graph_.is_output(homes.back())) {
      const auto home = home_.find(homes.back());
      if (home == home_.end()) break;
      homes.push_back(graph_.nodes[home->second.node].outputs[0]);
    }
    for (; !homes.empty(); homes.pop_back()) settle(homes.back());
    return *places_[at(value)];
  }

  /// Chooses the place of a value whose home, if it has one, has its place.
  void settle(ValueId value) {
    std::optional<Place>& place = places_[at(value)];
    if (place) return;
    if (graph_.is_output(value)) {
      place = output_place(value);
      return;
    }
    const auto home = home_.find(value);
    if (home != home_.end()) place = inside_home(value, home->second);
    if (place) {
      at_home_.insert_or_assign(value, true);
    } else {
      place = fresh(graph_.layout_of(value));
    }
  }

  std::optional<Place> inside_home(ValueId value, const Home& home) const {
    const Node& node = graph_.nodes[home.node];
    const Place& whole = *places_[at(node.outputs[0])];
    const OpContext op = graph_.context(home.node);
    if (node.record->place != nullptr) {
      const SubTensor part = node.record->place(op, whole.layout, home.input);
      return Place{whole.buffer, whole.offset + part.offset, part.layout};
    }
    if (node.record->op == "transpose") {
      Place place = whole;
      const std::vector<std::int64_t> perm = op.integers("perm");
      for (std::size_t i = 0; i < perm.size(); ++i) {
        const auto axis =
            static_cast<std::size_t>(perm[i] < 0 ? perm[i] + whole.layout.rank : perm[i]);
        place.layout.dims[axis] = whole.layout.dims[i];
        place.layout.strides[axis] = whole.layout.strides[i];
      }
      return place;
    }
    const std::optional<TensorLayout> layout =
        reshaped(whole.layout, graph_.value_of(value).type.dims);
    if (!layout) return std::nullopt;
    return Place{whole.buffer, whole.offset, *layout};
  }

  bool is_at_home(ValueId value, std::size_t node, std::size_t input) const {
    const auto home = home_.find(value);
    return home != home_.end() && home->second.node == node && home->second.input == input &&
           at_home_.count(value) != 0;
  }

  bool is_made_at(ValueId value, const Place& target) const {
    const std::optional<Place>& place = places_[at(value)];
    return place && place->buffer == target.buffer;
  }

  /// Where `value` can be read.
  Place place_of(ValueId value) {
    std::optional<Place>& place = places_[at(value)];
    if (!place) place = constant_place(value);  // Everything else has been made by now.
    return *place;
  }

  Place constant_place(ValueId value) {
    const mil::Constant& constant = *graph_.value_of(value).constant;
    const TensorLayout layout = graph_.layout_of(value);
    const std::byte* data = constant.data.data();
    if (reinterpret_cast<std::uintptr_t>(data) % layout.element_bytes() != 0) {
      std::byte* copy = own(constant.data.size());
      std::memcpy(copy, data, constant.data.size());
      data = copy;
    } else {
      constant_owner_[buffers_.size()] = graph_.value_of(value).constant;
    }
    return {
        add_buffer(
            {.base = Address::Base::kConstant, .constant = data, .n_bytes = n_bytes_of(layout)}),
        0, layout};
  }

  /// Memory that lives as long as the plan.
  std::byte* own(std::size_t n_bytes) {
    constexpr std::align_val_t kAlignment{64};
    auto* memory =
        static_cast<std::byte*>(::operator new(std::max<std::size_t>(n_bytes, 1), kAlignment));
    plan_.owners.emplace_back(memory, [](const std::byte* owned) {
      ::operator delete(const_cast<std::byte*>(owned), std::align_val_t{64});
    });
    return memory;
  }

  bool is_constant(const Place& place) const {
    return buffers_[place.buffer].base == Address::Base::kConstant;
  }

  // ---- Steps

  TensorView view_of(const Place& place) const {
    TensorView view;
    static_cast<TensorLayout&>(view) = place.layout;
    const Buffer& buffer = buffers_[place.buffer];
    if (buffer.base == Address::Base::kConstant) {
      // Steps read their inputs only.
      view.data = const_cast<std::byte*>(buffer.constant) +
                  place.offset * static_cast<std::int64_t>(place.layout.element_bytes());
    }
    return view;
  }

  static TensorView absent() {
    TensorView view;
    view.rank = -1;
    return view;
  }

  using Inputs = std::vector<std::optional<Place>>;

  void add_step(std::unique_ptr<Step> step, const Inputs& inputs,
                const std::vector<Place>& outputs) {
    const std::size_t index = steps_.size();
    const auto touch = [&](const Place& place) {
      auto& steps = buffers_[place.buffer].steps;
      steps = {steps ? steps->first : index, index};
    };
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i] && step->reads_input(i)) touch(*inputs[i]);
    }
    for (const Place& output : outputs) touch(output);
    steps_.push_back({std::move(step), inputs, outputs});
  }

  /// Runs a step now, into memory of the plan.
  std::vector<Place> fold(const Step& step, const Inputs& inputs,
                          const std::vector<TensorLayout>& outputs) {
    std::vector<TensorView> input_views;
    for (const auto& input : inputs) input_views.push_back(input ? view_of(*input) : absent());
    std::vector<TensorView> output_views;
    std::vector<Place> places;
    for (const TensorLayout& layout : outputs) {
      std::byte* memory = own(n_bytes_of(layout));
      places.push_back({add_buffer({.base = Address::Base::kConstant,
                                    .constant = memory,
                                    .n_bytes = n_bytes_of(layout)}),
                        0, layout});
      output_views.push_back(view_of(places.back()));
    }
    // Aligned by hand: thread_scratch may be in use by the step.
    std::vector<std::byte> scratch(step.scratch_bytes() + 64);
    void* start = scratch.data();
    std::size_t space = scratch.size();
    std::align(64, step.scratch_bytes(), start, space);
    step.run({.inputs = input_views,
              .outputs = output_views,
              .scratch = static_cast<std::byte*>(start)});
    return places;
  }

  void emit_copy(const Place& source, const Place& target) {
    add_step(make_copy(source.layout, target.layout), {source}, {target});
  }

  /// `place`, or a contiguous copy of it.
  Place contiguous(const Place& place) {
    if (place.layout.is_contiguous()) return place;
    const TensorLayout layout = TensorLayout::contiguous(place.layout.dtype, place.layout.shape());
    if (is_constant(place)) return fold(*make_copy(place.layout, layout), {place}, {layout})[0];
    const Place copy = fresh(layout);
    emit_copy(place, copy);
    return copy;
  }

  void emit(const NodeGroup& group) {
    const KernelRecord& record = *graph_.nodes[group[0]].record;
    if (record.tile != nullptr) {
      emit_fused(group);
    } else if (record.place != nullptr) {
      emit_place(group[0]);
    } else if (record.view == nullptr || !emit_view(group[0])) {
      emit_prepared(group[0]);
    }
  }

  bool has_fixed_place(ValueId value) const {
    return graph_.is_output(value) || home_.count(value) != 0 || places_[at(value)].has_value();
  }

  /// false: the operation is no view of its operand; it has a prepared step instead.
  bool emit_view(std::size_t index) {
    const Node& node = graph_.nodes[index];
    const OpContext op = graph_.context(index);
    if (is_at_home(node.inputs[0], index, 0)) return true;
    Place x = place_of(node.inputs[0]);
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId result = node.outputs[i];
      const Shape& dims = graph_.layout_of(result).shape();
      std::optional<SubTensor> view = node.record->view(op, x.layout, i, dims);
      if (!view) {
        if (node.record->prepare != nullptr) return false;
        x = contiguous(x);
        view = node.record->view(op, x.layout, i, dims);
        if (!view) op.fail("the emulator needs its bounds at compile time");
      }
      const Place place{x.buffer, x.offset + view->offset, view->layout};
      if (options_.optimizes && !has_fixed_place(result)) {
        places_[at(result)] = place;
      } else {
        emit_copy(place, target_of(result));
      }
    }
    return true;
  }

  void emit_place(std::size_t index) {
    const Node& node = graph_.nodes[index];
    const OpContext op = graph_.context(index);
    const Place whole = target_of(node.outputs[0]);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (is_at_home(node.inputs[i], index, i)) continue;
      const SubTensor part = node.record->place(op, whole.layout, i);
      emit_copy(place_of(node.inputs[i]), {whole.buffer, whole.offset + part.offset, part.layout});
    }
  }

  bool folds(const Inputs& inputs, const std::vector<ValueId>& outputs) const {
    const bool is_known = std::all_of(inputs.begin(), inputs.end(), [&](const auto& input) {
      return !input || is_constant(*input);
    });
    return is_known && std::none_of(outputs.begin(), outputs.end(),
                                    [&](ValueId value) { return has_fixed_place(value); });
  }

  void emit_prepared(std::size_t index) {
    const Node& node = graph_.nodes[index];
    const OpContext op = graph_.context(index);
    Inputs inputs;
    std::vector<TensorView> input_views;
    for (const ValueId value : node.inputs) {
      if (value < 0) {
        inputs.emplace_back();
        input_views.push_back(absent());
        continue;
      }
      Place place = place_of(value);
      if (!node.record->strided_inputs) place = contiguous(place);
      inputs.emplace_back(place);
      input_views.push_back(view_of(place));
    }
    const bool is_folded = !node.record->is_random && folds(inputs, node.outputs);
    std::vector<Place> targets;
    std::vector<Place> written;
    std::vector<TensorView> output_views;
    for (const ValueId value : node.outputs) {
      Place target;
      if (is_folded) {
        target.layout = graph_.layout_of(value);
      } else {
        target = target_of(value);
      }
      targets.push_back(target);
      if (!node.record->strided_outputs && !target.layout.is_contiguous()) {
        target = fresh(graph_.layout_of(value));
      }
      written.push_back(target);
      TensorView view;
      static_cast<TensorLayout&>(view) = target.layout;
      output_views.push_back(view);
    }
    std::unique_ptr<Step> step =
        node.record->prepare({.op = op, .inputs = input_views, .outputs = output_views});
    if (is_folded) return keep(*step, inputs, node.outputs);
    add_step(std::move(step), inputs, written);
    for (std::size_t i = 0; i < targets.size(); ++i) {
      if (written[i].buffer != targets[i].buffer) emit_copy(written[i], targets[i]);
    }
  }

  /// Evaluates a step of constants at compile time.
  void keep(const Step& step, const Inputs& inputs, const std::vector<ValueId>& outputs) {
    std::vector<TensorLayout> layouts;
    for (const ValueId value : outputs) layouts.push_back(graph_.layout_of(value));
    const std::vector<Place> places = fold(step, inputs, layouts);
    for (std::size_t i = 0; i < outputs.size(); ++i) places_[at(outputs[i])] = places[i];
  }

  void emit_fused(const NodeGroup& group) {
    const Shape dims = graph_.layout_of(graph_.nodes[group[0]].outputs[0]).shape();
    FusedChain chain;
    Inputs inputs;
    std::map<std::pair<ValueId, bool>, std::size_t> number;  // By value and whether per channel.
    // Inputs first: values are numbered behind them.
    const auto is_inside = [&](ValueId value) {
      const auto found = graph_.producer.find(value);
      return found != graph_.producer.end() &&
             std::find(group.begin(), group.end(), found->second) != group.end();
    };
    for (const std::size_t member : group) {
      const Node& node = graph_.nodes[member];
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        const ValueId value = node.inputs[i];
        const bool is_channel = node.record->channel_operands && i > 0;
        if (is_inside(value) || number.count({value, is_channel}) != 0) continue;
        require_tile_dtype(value);
        const Place place = place_of(value);
        TensorLayout layout = place.layout;
        if (is_channel) layout = along_channels(layout, dims.size());
        number[{value, is_channel}] = chain.inputs.size();
        chain.inputs.push_back(broadcast_to(layout, dims));
        inputs.emplace_back(place);
      }
    }
    std::vector<ValueId> stored;
    for (const std::size_t member : group) {
      const Node& node = graph_.nodes[member];
      const ValueId result = node.outputs[0];
      require_tile_dtype(result);
      FusedOperation operation{.node = node.record->tile(graph_.context(member)),
                               .operands = {},
                               .dtype = graph_.value_of(result).type.dtype};
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        const bool is_channel = node.record->channel_operands && i > 0;
        operation.operands.push_back(
            number.at({node.inputs[i], is_channel && !is_inside(node.inputs[i])}));
      }
      number[{result, false}] = chain.inputs.size() + chain.operations.size();
      chain.operations.push_back(std::move(operation));
      if (graph_.is_output(result) || graph_.is_read_outside(result, group))
        stored.push_back(result);
    }
    for (const ValueId value : stored) chain.outputs.push_back(number.at({value, false}));
    if (folds(inputs, stored)) {
      for (const ValueId value : stored) chain.output_layouts.push_back(graph_.layout_of(value));
      return keep(*make_fused(std::move(chain)), inputs, stored);
    }
    std::vector<Place> outputs;
    for (const ValueId value : stored) {
      outputs.push_back(target_of(value));
      chain.output_layouts.push_back(outputs.back().layout);
    }
    add_step(make_fused(std::move(chain)), inputs, outputs);
  }

  void require_tile_dtype(ValueId value) const {
    switch (graph_.value_of(value).type.dtype) {
      case DType::kFp16:
      case DType::kFp32:
      case DType::kBool:
      case DType::kInt8:
      case DType::kUint8:
      case DType::kInt16:
      case DType::kUint16:
      case DType::kInt32:
        return;
      default:
        throw CompileError(std::string(function_.source_name) +
                           ": the emulator does no arithmetic on " + graph_.describe(value));
    }
  }

  /// A vector [C] as [1, C, 1, ...].
  static TensorLayout along_channels(const TensorLayout& vector, std::size_t rank) {
    TensorLayout layout;
    layout.dtype = vector.dtype;
    layout.rank = static_cast<int>(rank);
    for (std::size_t i = 0; i < rank; ++i) layout.dims[i] = 1;
    layout.dims[1] = vector.dims[0];
    layout.strides[1] = vector.strides[0];
    return layout;
  }

  // ---- The plan

  void finish() {
    // Arena: tensors, and each step's scratch.
    std::vector<ArenaBlock> blocks;
    std::vector<std::size_t> block_of(buffers_.size(), 0);
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
      const Buffer& buffer = buffers_[i];
      if (buffer.base != Address::Base::kArena || !buffer.steps) continue;
      block_of[i] = blocks.size();
      blocks.push_back({buffer.n_bytes, buffer.steps->first, buffer.steps->second, 0});
    }
    const std::size_t first_scratch = blocks.size();
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      blocks.push_back({steps_[i].step->scratch_bytes(), i, i, 0});
    }
    plan_.arena_bytes = place_blocks(blocks);

    const auto add_tensor = [&](const Place& place, bool is_used) {
      const Buffer& buffer = buffers_[place.buffer];
      Address address{buffer.base, buffer.index, buffer.constant,
                      place.offset * static_cast<std::int64_t>(place.layout.element_bytes())};
      if (buffer.base == Address::Base::kArena && buffer.steps) {
        address.offset += static_cast<std::int64_t>(blocks[block_of[place.buffer]].offset);
      }
      if (!is_used)
        address = {.base = Address::Base::kConstant, .index = 0, .constant = nullptr, .offset = 0};
      plan_.tensors.push_back({place.layout, address});
      const auto owner = constant_owner_.find(place.buffer);
      if (is_used && owner != constant_owner_.end()) {
        plan_.owners.push_back(owner->second);
        constant_owner_.erase(owner);
      }
    };
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      PendingStep& pending = steps_[i];
      PlannedStep planned{.step = nullptr,
                          .first_tensor = plan_.tensors.size(),
                          .n_inputs = pending.inputs.size(),
                          .n_outputs = pending.outputs.size(),
                          .scratch_offset = blocks[first_scratch + i].offset};
      for (std::size_t k = 0; k < pending.inputs.size(); ++k) {
        if (pending.inputs[k]) {
          add_tensor(*pending.inputs[k], pending.step->reads_input(k));
        } else {
          plan_.tensors.push_back(
              {absent(),
               {.base = Address::Base::kConstant, .index = 0, .constant = nullptr, .offset = 0}});
        }
      }
      for (const Place& output : pending.outputs) add_tensor(output, true);
      planned.step = std::move(pending.step);
      plan_.steps.push_back(std::move(planned));
    }
  }

  struct PendingStep {
    std::unique_ptr<Step> step;
    Inputs inputs;
    std::vector<Place> outputs;
  };

  const mil::VerifiedFunction& function_;
  PlanOptions options_;
  Plan plan_;
  Graph graph_;
  std::vector<NodeGroup> groups_;
  std::map<ValueId, std::uint32_t> output_index_;
  std::unordered_map<ValueId, std::size_t> output_buffer_;
  std::unordered_map<ValueId, Home> home_;
  std::unordered_map<ValueId, bool> at_home_;
  std::vector<std::optional<Place>> places_;
  std::vector<Buffer> buffers_;
  std::unordered_map<std::size_t, std::shared_ptr<const mil::Constant>> constant_owner_;
  std::vector<PendingStep> steps_;
};

}  // namespace

Plan plan(const mil::VerifiedFunction& function, const PlanOptions& options) {
  return Planner(function, options).run();
}

}  // namespace pyane::emulator
