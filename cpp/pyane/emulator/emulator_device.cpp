#include "pyane/emulator/emulator_device.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pyane/base/environment.h"
#include "pyane/base/error.h"
#include "pyane/emulator/constant_evaluator.h"
#include "pyane/emulator/executor.h"
#include "pyane/emulator/planner.h"
#include "pyane/engine/binding.h"
#include "pyane/mil/parser.h"
#include "pyane/mil/verifier.h"

namespace pyane::emulator {
namespace {

const std::string kName = "emulator";
// The emulator compiles without end; with this it ends as the engine does, for tests and
// rehearsals.
constexpr const char* kBudgetVariable = "PYANE_COMPILE_BUDGET";

class EmulatorRequest;

/// What a kernel and its requests share.
struct Loaded {
  Loaded(std::string name, std::shared_ptr<ArenaPool> pool)
      : function(std::move(name)), arenas(std::move(pool)) {}
  const std::string function;
  const std::shared_ptr<ArenaPool> arenas;
  std::mutex mutex;                                      ///< Of what follows.
  std::shared_ptr<const Plan> plan;                      ///< nullptr once unloaded.
  std::vector<std::weak_ptr<EmulatorRequest>> requests;  ///< Each has the plan, too.
};

[[noreturn]] void throw_unloaded(const Loaded& loaded) {
  throw EvaluateError("kernel '" + loaded.function + "' has been unloaded; compile it again", 0);
}

class EmulatorRequest final : public Request {
 public:
  EmulatorRequest(std::shared_ptr<Loaded> loaded, std::shared_ptr<const Plan> plan,
                  std::vector<std::shared_ptr<Surface>> inputs,
                  std::vector<std::shared_ptr<Surface>> outputs,
                  std::vector<std::shared_ptr<Surface>> states)
      : loaded_(std::move(loaded)),
        arena_bytes_(plan->arena_bytes),
        inputs_(std::move(inputs)),
        outputs_(std::move(outputs)),
        states_(std::move(states)) {
    if (states_.empty()) {
      for (const TensorSpec& spec : plan->states) states_.push_back(create_surface(spec.n_bytes));
    }
    std::vector<std::byte*> kept;
    for (const auto& surface : states_) kept.push_back(surface->data());
    std::vector<std::byte*> from;
    std::vector<std::byte*> to;
    for (const auto& surface : inputs_) from.push_back(surface->data());
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      // An output in an input's memory is written at the very end, when nothing reads it any more.
      const bool is_shared = std::any_of(inputs_.begin(), inputs_.end(), [&](const auto& input) {
        return input->shares_memory_with(*outputs_[i]);
      });
      if (is_shared) {
        staged_.push_back({i, std::vector<std::byte>(plan->outputs[i].n_bytes)});
        to.push_back(staged_.back().bytes.data());
      } else {
        to.push_back(outputs_[i]->data());
      }
    }
    execution_ = std::make_unique<Execution>(std::move(plan), std::move(from), std::move(to),
                                             std::move(kept));
  }

  std::vector<std::shared_ptr<Surface>> states() const override { return states_; }

  void evaluate() override {
    const std::lock_guard lock(mutex_);
    if (execution_ == nullptr) throw_unloaded(*loaded_);
    const ArenaPool::Lease arena(*loaded_->arenas, arena_bytes_);
    execution_->run(arena.data());
    for (const Staged& staged : staged_) {
      std::memcpy(outputs_[staged.output]->data(), staged.bytes.data(), staged.bytes.size());
    }
  }

  /// Lets go of the plan, after an evaluation that is running.
  void unload() {
    const std::lock_guard lock(mutex_);
    execution_.reset();
  }

 private:
  struct Staged {
    std::size_t output;
    std::vector<std::byte> bytes;
  };

  std::shared_ptr<Loaded> loaded_;
  std::size_t arena_bytes_;
  std::vector<std::shared_ptr<Surface>> inputs_;
  std::vector<std::shared_ptr<Surface>> outputs_;
  std::vector<std::shared_ptr<Surface>> states_;
  std::vector<Staged> staged_;
  std::unique_ptr<Execution> execution_;
  std::mutex mutex_;
};

class EmulatorKernel final : public Kernel {
 public:
  explicit EmulatorKernel(std::shared_ptr<Loaded> loaded)
      : loaded_(std::move(loaded)),
        inputs_(loaded_->plan->inputs),
        outputs_(loaded_->plan->outputs),
        states_(loaded_->plan->states) {
    for (const auto* specs : {&inputs_, &outputs_}) {
      for (const TensorSpec& spec : *specs) surface_bytes_ = std::max(surface_bytes_, spec.n_bytes);
    }
  }

  const std::vector<TensorSpec>& inputs() const override { return inputs_; }
  const std::vector<TensorSpec>& outputs() const override { return outputs_; }
  std::vector<TensorSpec> states() const override { return states_; }
  std::size_t surface_bytes() const override { return surface_bytes_; }
  const std::string& device_name() const override { return kName; }
  bool is_loaded() const override {
    const std::lock_guard lock(loaded_->mutex);
    return loaded_->plan != nullptr;
  }

  std::shared_ptr<Request> bind(std::vector<std::shared_ptr<Surface>> inputs,
                                std::vector<std::shared_ptr<Surface>> outputs,
                                std::vector<std::shared_ptr<Surface>> states) override {
    check_binding(inputs_, outputs_, inputs, outputs);
    check_states(states_, states, inputs, outputs);
    const std::lock_guard lock(loaded_->mutex);
    if (loaded_->plan == nullptr) throw_unloaded(*loaded_);
    auto request = std::make_shared<EmulatorRequest>(loaded_, loaded_->plan, std::move(inputs),
                                                     std::move(outputs), std::move(states));
    auto& requests = loaded_->requests;
    if (requests.size() == requests.capacity()) {  // Forget the dead before growing.
      std::erase_if(requests, [](const auto& known) { return known.expired(); });
    }
    requests.push_back(request);
    return request;
  }

  void unload() override {
    std::vector<std::weak_ptr<EmulatorRequest>> requests;
    std::shared_ptr<const Plan> plan;  // Freed outside the lock.
    {
      const std::lock_guard lock(loaded_->mutex);
      requests.swap(loaded_->requests);
      plan.swap(loaded_->plan);
    }
    for (const auto& known : requests) {
      if (const auto request = known.lock()) request->unload();
    }
  }

 private:
  std::shared_ptr<Loaded> loaded_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  std::vector<TensorSpec> states_;
  std::size_t surface_bytes_ = kMinSurfaceBytes;
};

class EmulatorDevice final : public Device {
 public:
  const std::string& name() const override { return kName; }

  std::optional<Budget> budget() const override {
    const auto limit = positive_from_environment(kBudgetVariable);
    if (!limit) return std::nullopt;
    constexpr auto kNoLimit = std::numeric_limits<std::int64_t>::max();
    return Budget{
        .compiles = n_compiles_, .compile_limit = *limit, .loaded = 0, .load_limit = kNoLimit};
  }

  std::shared_ptr<Kernel> compile(const mil::Model& model, const CompileOptions& options) override {
    count_compile(model.source_name);
    const mil::Program program = mil::parse(model.text, model.source_name);
    const mil::Function& function = choose_function(program, options.function);
    const mil::VerifiedFunction verified =
        mil::verify(program, function, &model.weights, evaluate_constant, options.warn);
    const char* plain = std::getenv("PYANE_EMULATOR_PLAIN");
    const bool is_plain =
        plain != nullptr && std::strcmp(plain, "") != 0 && std::strcmp(plain, "0") != 0;
    auto loaded = std::make_shared<Loaded>(function.name, arenas_);
    loaded->plan = std::make_shared<const Plan>(plan(verified, {.optimizes = !is_plain}));
    arenas_->reserve(loaded->plan->arena_bytes);
    return std::make_shared<EmulatorKernel>(std::move(loaded));
  }

 private:
  /// As the engine's framework: failed compilations count.
  void count_compile(const std::string& source_name) {
    const auto budget = this->budget();
    if (budget && budget->compiles >= budget->compile_limit) {
      throw CompileBudgetError("emulator: compile of " + source_name +
                               ": this process has compiled " + std::to_string(budget->compiles) +
                               " programs, all that " + kBudgetVariable + " allows");
    }
    ++n_compiles_;
  }

  std::atomic<std::int64_t> n_compiles_ = 0;
  std::shared_ptr<ArenaPool> arenas_ = std::make_shared<ArenaPool>();
};

}  // namespace

std::shared_ptr<Device> create_device() { return std::make_shared<EmulatorDevice>(); }

}  // namespace pyane::emulator
