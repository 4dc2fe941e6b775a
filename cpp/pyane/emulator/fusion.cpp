#include "pyane/emulator/fusion.h"

#include <algorithm>
#include <unordered_map>

#include "pyane/emulator/kernels/tiling.h"

namespace pyane::emulator {
namespace {

/// Bounds the memory of a tile's values, and the work of planning.
constexpr std::size_t kMaxGroup = 48;
constexpr std::size_t kNone = static_cast<std::size_t>(-1);

Shape reduced(const ChainShape& shape) {
  Shape dims = shape.dims;
  if (shape.axis >= 0) dims[static_cast<std::size_t>(shape.axis)] = 1;
  return dims;
}

/// Of two chains together; nullopt: they do not fit.
std::optional<ChainShape> combined(const ChainShape& a, const ChainShape& b) {
  if (a == b) return a;
  if ((a.axis < 0) == (b.axis < 0)) return std::nullopt;
  const ChainShape& along = a.axis < 0 ? b : a;
  const Shape& dims = a.axis < 0 ? a.dims : b.dims;
  if (dims != along.dims && dims != reduced(along)) return std::nullopt;
  return along;
}

class Fuser {
 public:
  Fuser(const std::vector<Node>& nodes, const mil::VerifiedFunction& function,
        const std::vector<NodeGroup>& given)
      : nodes_(nodes), group_of_(nodes.size()), groups_(nodes.size()) {
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      group_of_[i] = i;
      groups_[i] = {{i}, i, chain_shape(nodes[i], function)};
      for (const mil::ValueId value : nodes[i].outputs) producer_[value] = i;
      for (const mil::ValueId value : nodes[i].inputs) {
        if (value >= 0) consumers_[value].push_back(i);
      }
    }
    for (const NodeGroup& group : given) {
      for (const std::size_t member : group) {
        group_of_[member] = group.back();
        groups_[member] = {};
      }
      groups_[group.back()] = {group, group.back(), std::nullopt};
    }
  }

  std::vector<NodeGroup> run(bool fuses) {
    for (std::size_t i = 0; fuses && i < nodes_.size(); ++i) {
      if (groups_[i].shape) join(i);
    }
    std::vector<const Group*> order;
    for (const Group& group : groups_) {
      if (!group.members.empty()) order.push_back(&group);
    }
    std::sort(order.begin(), order.end(),
              [](const Group* a, const Group* b) { return a->position < b->position; });
    std::vector<NodeGroup> result;
    for (const Group* group : order) {
      result.push_back(group->members);
      std::sort(result.back().begin(), result.back().end());
    }
    return result;
  }

 private:
  struct Group {
    NodeGroup members;
    std::size_t position = 0;  ///< Evaluated where this node stands in the program.
    std::optional<ChainShape> shape;
  };

  std::size_t producer_group(mil::ValueId value) const {
    const auto found = producer_.find(value);
    return found == producer_.end() ? kNone : group_of_[found->second];
  }

  /// Joins node `i`, alone until now, with the groups of its operands.
  void join(std::size_t i) {
    for (const mil::ValueId value : nodes_[i].inputs) {
      const std::size_t candidate = value < 0 ? kNone : producer_group(value);
      const std::size_t own = group_of_[i];
      if (candidate == kNone || candidate == own) continue;
      const Group& group = groups_[candidate];
      if (!group.shape || nodes_[group.members.front()].is_known != nodes_[i].is_known ||
          !combined(*group.shape, *groups_[own].shape) ||
          group.members.size() + groups_[own].members.size() > kMaxGroup) {
        continue;
      }
      if (can_wait(candidate, own)) {
        merge(candidate, own, groups_[own].position);
      } else if (groups_[own].members.size() == 1 && can_go_ahead(i, candidate)) {
        merge(candidate, own, groups_[candidate].position);
        return;  // The group stands before `i` now: others must not be drawn to it by `i`.
      }
    }
  }

  /// Whether group `early` may be evaluated where group `late` is: nobody else reads it before.
  bool can_wait(std::size_t early, std::size_t late) const {
    const std::size_t position = groups_[late].position;
    for (const std::size_t member : groups_[early].members) {
      for (const mil::ValueId value : nodes_[member].outputs) {
        const auto found = consumers_.find(value);
        if (found == consumers_.end()) continue;
        for (const std::size_t consumer : found->second) {
          const std::size_t group = group_of_[consumer];
          if (group != early && group != late && groups_[group].position < position) return false;
        }
      }
    }
    return true;
  }

  /// Whether everything that node `i` reads exists where group `early` is evaluated.
  bool can_go_ahead(std::size_t i, std::size_t early) const {
    for (const mil::ValueId value : nodes_[i].inputs) {
      const std::size_t group = value < 0 ? kNone : producer_group(value);
      if (group == kNone || group == early) continue;
      if (groups_[group].position >= groups_[early].position) return false;
    }
    return true;
  }

  void merge(std::size_t from, std::size_t into, std::size_t position) {
    for (const std::size_t member : groups_[from].members) {
      group_of_[member] = into;
      groups_[into].members.push_back(member);
    }
    groups_[into].shape = combined(*groups_[from].shape, *groups_[into].shape);
    groups_[from].members.clear();
    groups_[into].position = position;
  }

  const std::vector<Node>& nodes_;
  std::unordered_map<mil::ValueId, std::size_t> producer_;
  std::unordered_map<mil::ValueId, std::vector<std::size_t>> consumers_;
  std::vector<std::size_t> group_of_;
  std::vector<Group> groups_;
};

const mil::Type& type_of(const mil::VerifiedFunction& function, mil::ValueId value) {
  return function.values[static_cast<std::size_t>(value)].type;
}

/// The only axis of `dims` other than 1 that the operation goes along; nullopt: none or several.
std::optional<int> long_axis(const Node& node, const mil::OpContext& op, const Shape& dims) {
  const auto rank = static_cast<std::int64_t>(dims.size());
  std::vector<std::int64_t> axes;
  if (node.record->along_axis == AxisForm::kSoftmax) {
    axes = {op.integer("axis")};
  } else if (op.has("axes")) {
    axes = op.integers("axes");
  } else {
    for (std::int64_t i = 0; i < rank; ++i) axes.push_back(i);
  }
  std::optional<int> found;
  for (const std::int64_t given : axes) {
    const auto axis = static_cast<int>(given < 0 ? given + rank : given);
    if (dims[static_cast<std::size_t>(axis)] == 1) continue;
    if (found) return std::nullopt;
    found = axis;
  }
  return found;
}

}  // namespace

std::optional<ChainShape> chain_shape(const Node& node, const mil::VerifiedFunction& function) {
  if (node.record->tile != nullptr) return ChainShape{type_of(function, node.outputs[0]).dims, -1};
  if (node.record->along_axis == AxisForm::kNone) return std::nullopt;
  const mil::Type& x = type_of(function, node.inputs[0]);
  const mil::OpContext op = function.context(*node.operation);
  const bool is_softmax = node.record->along_axis == AxisForm::kSoftmax;
  if (!is_float(x.dtype) || (!is_softmax && !op.boolean("keep_dims"))) return std::nullopt;
  const bool is_empty = std::any_of(x.dims.begin(), x.dims.end(), [](auto d) { return d <= 0; });
  if (is_empty || x.dims.size() > static_cast<std::size_t>(kMaxRank)) return std::nullopt;
  const std::optional<int> axis = long_axis(node, op, x.dims);
  if (!axis) return std::nullopt;
  const auto at = x.dims.begin() + *axis;
  const bool is_inner = std::all_of(at + 1, x.dims.end(), [](auto d) { return d == 1; });
  if (*at > (is_inner ? Tiling::kMaxInner : Tiling::kMaxOuter)) return std::nullopt;
  return ChainShape{x.dims, *axis};
}

std::vector<NodeGroup> fuse(const std::vector<Node>& nodes, const mil::VerifiedFunction& function,
                            const std::vector<NodeGroup>& given, bool fuses) {
  return Fuser(nodes, function, given).run(fuses);
}

}  // namespace pyane::emulator
