#pragma once

#include <optional>
#include <vector>

#include "pyane/emulator/kernels/registry.h"
#include "pyane/mil/verifier.h"

namespace pyane::emulator {

/// An operation of the function that takes part in the plan.
struct Node {
  const mil::VerifiedOperation* operation = nullptr;
  const KernelRecord* record = nullptr;
  std::vector<mil::ValueId> inputs;  ///< In the order of the record's operands; -1: absent.
  std::vector<mil::ValueId> outputs;
  bool is_known = false;  ///< Evaluated when compiling: all it reads is constant.
};

/// Nodes that become one step (several only when they form a chain or attention), in program order.
using NodeGroup = std::vector<std::size_t>;

/// The shapes of a chain: results have `dims`, or `dims` with one element along `axis`.
struct ChainShape {
  Shape dims;
  int axis = -1;  ///< Negative: nothing goes along an axis.

  bool operator==(const ChainShape&) const = default;
};

/// Of a node that can be part of a chain; nullopt: it cannot.
std::optional<ChainShape> chain_shape(const Node& node, const mil::VerifiedFunction& function);

/// The groups in an order in which they can be evaluated.
///
/// Nodes join those that feed them where their shapes form a chain: the group runs where its last
/// node stands, which is allowed when nothing outside the group needs its values before that;
/// or where the group stood before, when all that the new node needs exists there.
///
/// @param given  Groups that stay as they are, each evaluated where its last node stands.
std::vector<NodeGroup> fuse(const std::vector<Node>& nodes, const mil::VerifiedFunction& function,
                            const std::vector<NodeGroup>& given, bool fuses);

}  // namespace pyane::emulator
