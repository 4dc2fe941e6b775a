#include "pyane/emulator/places.h"

#include <memory>

#include "pyane/emulator/kernels/reshape.h"

namespace pyane::emulator {

using mil::OpContext;

Places::Places(const Graph& graph, PlanMemory& memory, bool uses_homes)
    : graph_(graph), memory_(memory) {
  if (uses_homes) homes_ = choose_homes(graph);
}

void Places::set(ValueId value, const Place& place) {
  places_.insert_or_assign(value, place);
  const auto found = watched_.find(place.buffer);
  if (found != watched_.end()) found->second.push_back(value);
}

Place Places::of(ValueId value) {
  const auto found = places_.find(value);
  if (found != places_.end()) return found->second;
  // Everything else has been made by now.
  const std::shared_ptr<const mil::Constant>& constant = graph_.value_of(value).constant;
  const Place place = memory_.constant(graph_.layout_of(value), constant->data.data(), constant);
  set(value, place);
  return place;
}

Place Places::target_of(ValueId value) {
  // Homes may be in homes, thousands deep in hostile text: a list, no recursion.
  std::vector<ValueId> homes = {value};
  while (places_.count(homes.back()) == 0 && !graph_.is_output(homes.back())) {
    const auto home = homes_.find(homes.back());
    if (home == homes_.end()) break;
    homes.push_back(graph_.nodes[home->second.node].outputs[0]);
  }
  for (; !homes.empty(); homes.pop_back()) settle(homes.back());
  return places_.at(value);
}

/// Chooses the place of a value whose home, if it has one, has its place.
void Places::settle(ValueId value) {
  if (places_.count(value) != 0) return;
  if (graph_.is_output(value)) return set(value, output(value));
  const auto home = homes_.find(value);
  std::optional<Place> place;
  if (home != homes_.end()) place = inside_home(value, home->second);
  if (place) at_home_.insert_or_assign(value, true);
  set(value, place ? *place : memory_.fresh(graph_.layout_of(value)));
}

std::optional<Place> Places::inside_home(ValueId value, const Home& home) const {
  const Node& node = graph_.nodes[home.node];
  const Place& whole = places_.at(node.outputs[0]);
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

bool Places::is_free(ValueId value) const {
  return !graph_.is_output(value) && homes_.count(value) == 0 && places_.count(value) == 0;
}

bool Places::is_at_home(ValueId value, std::size_t node, std::size_t input) const {
  const auto home = homes_.find(value);
  return home != homes_.end() && home->second.node == node && home->second.input == input &&
         at_home_.count(value) != 0;
}

bool Places::is_made_at(ValueId value, const Place& target) const {
  const auto found = places_.find(value);
  return found != places_.end() && found->second.buffer == target.buffer;
}

}  // namespace pyane::emulator
