#include "pyane/emulator/control_flow.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/emulator/executor.h"
#include "pyane/emulator/plan_memory.h"

namespace pyane::emulator {
namespace {

/// Iterations of the outermost loop that this thread is in, and of those inside it.
class IterationCount {
 public:
  IterationCount() {
    if (depth_++ == 0) count_ = 0;
  }
  ~IterationCount() { --depth_; }
  IterationCount(const IterationCount&) = delete;
  IterationCount& operator=(const IterationCount&) = delete;
  /// false: there may not be another one.
  static bool next() { return count_++ < kMaxIterations; }

 private:
  static thread_local int depth_;
  static thread_local std::int64_t count_;
};
thread_local int IterationCount::depth_ = 0;
thread_local std::int64_t IterationCount::count_ = 0;

std::size_t align(std::size_t n_bytes) { return (n_bytes + 63) / 64 * 64; }

/// A block's plan, and where its inputs, states and outputs are among the tensors of the step.
class NestedPlan {
 public:
  NestedPlan(const Graph& graph, const mil::VerifiedBlock& block,
             const std::vector<ValueId>& inputs, const PlanOptions& options,
             const KnownConstants& known) {
    Unit unit{.function = graph.function,
              .operations = block.operations,
              .parameters = block.parameters,
              .states = {},
              .outputs = {},
              .budget = graph.budget};
    n_parameters_ = block.parameters.size();
    for (const ValueId value : captured_by(graph.function, block)) {
      if (known.count(value) != 0) continue;
      const auto found = std::find(inputs.begin(), inputs.end(), value);
      const auto position = static_cast<std::size_t>(found - inputs.begin());
      const bool is_state = graph.value_of(value).type.kind == mil::Type::Kind::kState;
      (is_state ? unit.states : unit.parameters).push_back(value);
      (is_state ? states_ : captured_).push_back(position);
    }
    for (const ValueId value : block.outputs) {
      const auto found = std::find(unit.outputs.begin(), unit.outputs.end(), value);
      const auto position = static_cast<std::size_t>(found - unit.outputs.begin());
      if (found == unit.outputs.end()) {
        unit.outputs.push_back(value);
        first_.push_back(outputs_.size());
      }
      outputs_.push_back(position);
    }
    plan_ = plan_unit(unit, options, known);
  }

  std::size_t scratch_bytes() const {
    return align(plan_.tensors.size() * sizeof(TensorView)) + plan_.arena_bytes;
  }

  /// @param parameter  parameter(i): memory of the block's parameter i.
  /// @param output  output(i): memory of the block's output i.
  template <typename Parameter, typename Output>
  void run(const StepArguments& arguments, std::byte* scratch, const Parameter& parameter,
           const Output& output) const {
    auto* const views = reinterpret_cast<TensorView*>(scratch);
    std::byte* const arena = scratch + align(plan_.tensors.size() * sizeof(TensorView));
    const auto base_of = [&](const Address& address) -> std::byte* {
      switch (address.base) {
        case Address::Base::kInput:
          return address.index < n_parameters_
                     ? parameter(address.index)
                     : arguments.inputs[captured_[address.index - n_parameters_]].data;
        case Address::Base::kState:
          return arguments.inputs[states_[address.index]].data;
        case Address::Base::kOutput:
          return output(first_[address.index]);
        default:
          return arena;
      }
    };
    for (std::size_t i = 0; i < plan_.tensors.size(); ++i) {
      TensorView* const view = std::construct_at(views + i);
      static_cast<TensorLayout&>(*view) = plan_.tensors[i].layout;
      view->data = resolve(plan_.tensors[i].address, base_of);
    }
    run_steps(plan_, std::span(views, plan_.tensors.size()), arena);
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      if (first_[outputs_[i]] == i) continue;
      std::memcpy(output(i), output(first_[outputs_[i]]), plan_.outputs[outputs_[i]].n_bytes);
    }
  }

 private:
  Plan plan_;
  std::size_t n_parameters_ = 0;
  std::vector<std::size_t> captured_;  ///< Step inputs behind the block's own parameters.
  std::vector<std::size_t> states_;    ///< Step inputs.
  std::vector<std::size_t> outputs_;   ///< The plan's output by the block's.
  std::vector<std::size_t> first_;     ///< The block's first output that a plan's output is.
};

class Cond final : public Step {
 public:
  /// @param branches  True, false; or the only one there is.
  explicit Cond(std::vector<NestedPlan> branches) : branches_(std::move(branches)) {}

  std::size_t scratch_bytes() const override {
    std::size_t most = 0;
    for (const NestedPlan& branch : branches_) most = std::max(most, branch.scratch_bytes());
    return most;
  }

  void run(const StepArguments& arguments) const override {
    const bool is_true = branches_.size() == 1 || *arguments.inputs[0].data != std::byte{0};
    branches_[is_true ? 0 : 1].run(
        arguments, arguments.scratch, [](std::size_t) -> std::byte* { return nullptr; },
        [&](std::size_t i) { return arguments.outputs[i].data; });
  }

 private:
  std::vector<NestedPlan> branches_;
};

class WhileLoop final : public Step {
 public:
  WhileLoop(NestedPlan condition, NestedPlan body, std::vector<std::size_t> variable_bytes,
            std::string where)
      : condition_(std::move(condition)),
        body_(std::move(body)),
        bytes_(std::move(variable_bytes)),
        where_(std::move(where)) {
    for (const std::size_t n : bytes_) {
      offsets_.push_back(set_bytes_);
      set_bytes_ += align(n);
    }
  }

  std::size_t scratch_bytes() const override {
    return align(1) + 2 * set_bytes_ + std::max(condition_.scratch_bytes(), body_.scratch_bytes());
  }

  void run(const StepArguments& arguments) const override {
    std::byte* const flag = arguments.scratch;
    std::byte* from = flag + align(1);
    std::byte* to = from + set_bytes_;
    std::byte* const scratch = to + set_bytes_;
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      std::memcpy(from + offsets_[i], arguments.inputs[i].data, bytes_[i]);
    }
    const auto parameter = [&](std::size_t i) { return from + offsets_[i]; };
    const IterationCount count;
    while (true) {
      condition_.run(arguments, scratch, parameter, [&](std::size_t) { return flag; });
      if (*flag == std::byte{0}) break;
      if (!IterationCount::next()) {
        throw EvaluateError(where_ + "the condition is still true after " +
                                std::to_string(kMaxIterations) +
                                " iterations, which is the most that the emulator runs",
                            0);
      }
      body_.run(arguments, scratch, parameter, [&](std::size_t i) { return to + offsets_[i]; });
      std::swap(from, to);
    }
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      std::memcpy(arguments.outputs[i].data, from + offsets_[i], bytes_[i]);
    }
  }

 private:
  NestedPlan condition_;
  NestedPlan body_;
  std::vector<std::size_t> bytes_;    ///< Of each loop variable.
  std::vector<std::size_t> offsets_;  ///< Within a set of them.
  std::size_t set_bytes_ = 0;
  std::string where_;
};

}  // namespace

std::unique_ptr<Step> make_control_step(const Graph& graph, std::size_t node,
                                        const PlanOptions& options, const KnownConstants& known) {
  const Node& control = graph.nodes[node];
  const std::vector<mil::VerifiedBlock>& blocks = control.operation->blocks;
  const auto nested = [&](std::size_t block) {
    return NestedPlan(graph, blocks[block], control.inputs, options, known);
  };
  if (control.record->op == "cond") {
    std::vector<NestedPlan> branches;
    const auto& pred = graph.value_of(control.inputs[0]).constant;
    if (pred != nullptr) {
      branches.push_back(nested(pred->data[0] != std::byte{0} ? 0 : 1));
    } else {
      branches.push_back(nested(0));
      branches.push_back(nested(1));
    }
    return std::make_unique<Cond>(std::move(branches));
  }
  std::vector<std::size_t> variable_bytes;
  for (const ValueId value : control.operation->outputs) {
    variable_bytes.push_back(dense_bytes(graph.layout_of(value)));
  }
  return std::make_unique<WhileLoop>(
      nested(0), nested(1), std::move(variable_bytes),
      "while_loop '" + control.operation->operation->display_name() + "': ");
}

}  // namespace pyane::emulator
