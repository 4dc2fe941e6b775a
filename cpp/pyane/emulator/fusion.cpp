#include "pyane/emulator/fusion.h"

#include <algorithm>
#include <unordered_map>

namespace pyane::emulator {
namespace {

/// Bounds the memory of a tile's values, and the work of planning.
constexpr std::size_t kMaxGroup = 48;
constexpr std::size_t kNone = static_cast<std::size_t>(-1);

class Fuser {
 public:
  Fuser(const std::vector<Node>& nodes, const mil::VerifiedFunction& function)
      : nodes_(nodes), function_(function), group_of_(nodes.size()), groups_(nodes.size()) {
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      group_of_[i] = i;
      groups_[i] = {{i}, i};
      for (const mil::ValueId value : nodes[i].outputs) producer_[value] = i;
      for (const mil::ValueId value : nodes[i].inputs) {
        if (value >= 0) consumers_[value].push_back(i);
      }
    }
  }

  std::vector<NodeGroup> run(bool fuses) {
    for (std::size_t i = 0; fuses && i < nodes_.size(); ++i) {
      if (nodes_[i].record->tile != nullptr) join(i);
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
  };

  const Shape& shape_of(std::size_t node) const {
    return function_.values[static_cast<std::size_t>(nodes_[node].outputs[0])].type.dims;
  }

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
      const NodeGroup& members = groups_[candidate].members;
      const std::size_t first = members.front();
      if (nodes_[first].record->tile == nullptr || nodes_[first].is_known != nodes_[i].is_known ||
          shape_of(first) != shape_of(i) ||
          members.size() + groups_[own].members.size() > kMaxGroup) {
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
    groups_[from].members.clear();
    groups_[into].position = position;
  }

  const std::vector<Node>& nodes_;
  const mil::VerifiedFunction& function_;
  std::unordered_map<mil::ValueId, std::size_t> producer_;
  std::unordered_map<mil::ValueId, std::vector<std::size_t>> consumers_;
  std::vector<std::size_t> group_of_;
  std::vector<Group> groups_;
};

}  // namespace

std::vector<NodeGroup> fuse(const std::vector<Node>& nodes, const mil::VerifiedFunction& function,
                            bool fuses) {
  return Fuser(nodes, function).run(fuses);
}

}  // namespace pyane::emulator
