#include "pyane/emulator/plan_memory.h"

#include <algorithm>
#include <new>
#include <string>

#include "pyane/base/error.h"
#include "pyane/emulator/arena.h"
#include "pyane/emulator/kernels/copy.h"

namespace pyane::emulator {
namespace {

constexpr std::align_val_t kAlignment{64};

std::shared_ptr<std::byte> allocate(std::size_t n_bytes) {
  try {
    auto* memory =
        static_cast<std::byte*>(::operator new(std::max<std::size_t>(n_bytes, 1), kAlignment));
    return {memory, [](std::byte* owned) { ::operator delete(owned, kAlignment); }};
  } catch (const std::bad_alloc&) {
    throw CompileError("the emulator needs " + std::to_string(n_bytes) +
                       " bytes for a constant, which the system does not have");
  }
}

}  // namespace

TensorView absent_tensor() {
  TensorView view;
  view.rank = -1;
  return view;
}

std::size_t dense_bytes(const TensorLayout& layout) {
  return static_cast<std::size_t>(layout.count()) * layout.element_bytes();
}

std::size_t PlanMemory::add_buffer(Buffer buffer) {
  buffers_.push_back(std::move(buffer));
  return buffers_.size() - 1;
}

std::size_t PlanMemory::add_external(Address::Base base, std::uint32_t index) {
  return add_buffer({.base = base, .index = index});
}

Place PlanMemory::fresh(const TensorLayout& layout) {
  return {add_buffer({.n_bytes = dense_bytes(layout)}), 0, layout};
}

Place PlanMemory::constant(const TensorLayout& layout, const std::byte* data,
                           std::shared_ptr<const void> owner) {
  return {
      add_buffer({.base = Address::Base::kConstant, .constant = data, .owner = std::move(owner)}),
      0, layout};
}

Place PlanMemory::new_constant(const TensorLayout& layout) {
  const std::shared_ptr<std::byte> memory = allocate(dense_bytes(layout));
  return constant(layout, memory.get(), memory);
}

void PlanMemory::copy_now(const Place& source, const Place& target) {
  const TensorView from = view_of(source);
  const TensorView to = view_of(target);
  make_copy(source.layout, target.layout)
      ->run({.inputs = std::span(&from, 1), .outputs = std::span(&to, 1)});
}

TensorView PlanMemory::view_of(const Place& place) const {
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

void PlanMemory::add_step(std::unique_ptr<Step> step, const Inputs& inputs,
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
  steps_.push_back({std::move(step), inputs, outputs, group_});
}

void PlanMemory::add_copy(const Place& source, const Place& target) {
  add_step(make_copy(source.layout, target.layout), {source}, {target});
}

std::vector<Place> PlanMemory::fold(const Step& step, const Inputs& inputs,
                                    const std::vector<TensorLayout>& outputs) {
  std::vector<TensorView> input_views;
  for (const auto& input : inputs) {
    input_views.push_back(input ? view_of(*input) : absent_tensor());
  }
  std::vector<TensorView> output_views;
  std::vector<Place> places;
  for (const TensorLayout& layout : outputs) {
    places.push_back(new_constant(layout));
    output_views.push_back(view_of(places.back()));
  }
  // Not thread_scratch, which may be in use by the step.
  const std::shared_ptr<std::byte> scratch = allocate(step.scratch_bytes());
  step.run({.inputs = input_views, .outputs = output_views, .scratch = scratch.get()});
  return places;
}

Place PlanMemory::contiguous(const Place& place) {
  if (place.layout.is_contiguous()) return place;
  const TensorLayout layout = TensorLayout::contiguous(place.layout.dtype, place.layout.shape());
  if (is_constant(place)) return fold(*make_copy(place.layout, layout), {place}, {layout})[0];
  const Place copy = fresh(layout);
  add_copy(place, copy);
  return copy;
}

void PlanMemory::finish(Plan& plan) {
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
  plan.arena_bytes = place_blocks(blocks);

  const Address nowhere = {
      .base = Address::Base::kConstant, .index = 0, .constant = nullptr, .offset = 0};
  const auto add_tensor = [&](const Place& place, bool is_used) {
    Buffer& buffer = buffers_[place.buffer];
    Address address{buffer.base, buffer.index, buffer.constant,
                    place.offset * static_cast<std::int64_t>(place.layout.element_bytes())};
    if (buffer.base == Address::Base::kArena && buffer.steps) {
      address.offset += static_cast<std::int64_t>(blocks[block_of[place.buffer]].offset);
    }
    plan.tensors.push_back({place.layout, is_used ? address : nowhere});
    // What no step reads (packed weights) is let go.
    if (is_used && buffer.owner != nullptr) plan.owners.push_back(std::move(buffer.owner));
  };
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    PendingStep& pending = steps_[i];
    PlannedStep planned{.step = nullptr,
                        .first_tensor = plan.tensors.size(),
                        .n_inputs = pending.inputs.size(),
                        .n_outputs = pending.outputs.size(),
                        .scratch_offset = blocks[first_scratch + i].offset,
                        .group = pending.group};
    for (std::size_t k = 0; k < pending.inputs.size(); ++k) {
      if (pending.inputs[k]) {
        add_tensor(*pending.inputs[k], pending.step->reads_input(k));
      } else {
        plan.tensors.push_back({absent_tensor(), nowhere});
      }
    }
    for (const Place& output : pending.outputs) add_tensor(output, true);
    planned.step = std::move(pending.step);
    plan.steps.push_back(std::move(planned));
  }
}

}  // namespace pyane::emulator
