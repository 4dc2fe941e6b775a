#include "pyane/emulator/emulator_device.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pyane/base/environment.h"
#include "pyane/base/error.h"
#include "pyane/base/thread_pool.h"
#include "pyane/emulator/constant_evaluator.h"
#include "pyane/emulator/executor.h"
#include "pyane/emulator/hardware/silent_errors.h"
#include "pyane/emulator/hardware/values.h"
#include "pyane/emulator/planner.h"
#include "pyane/emulator/recorder.h"
#include "pyane/engine/binding.h"
#include "pyane/mil/parser.h"
#include "pyane/mil/verifier.h"

namespace pyane::emulator {
namespace {

const std::string kName = "emulator";
// The emulator compiles without end; with this it ends as the engine does, for tests and
// rehearsals.
constexpr const char* kBudgetVariable = "PYANE_COMPILE_BUDGET";

/// The engine's code for an evaluation that failed (Orion; ANE field guide).
constexpr std::int64_t kInferenceError = 0x1D;

/// What a chip does besides computing.
struct Behaviour {
  bool emits_no_nan = false;  ///< Also where an input is only moved to an output.
  /// Zeros come out unless inputs ascend and outputs descend in size.
  bool wants_ordered_surfaces = false;
  bool poisons = false;  ///< Once it has been evaluated, every evaluation fails.
  std::shared_ptr<std::atomic<bool>> is_poisoned;
};

class EmulatorRequest;

/// What a kernel and its requests share.
struct Loaded {
  Loaded(std::string name, std::shared_ptr<ArenaPool> pool)
      : function(std::move(name)), arenas(std::move(pool)) {}
  const std::string function;
  const std::shared_ptr<ArenaPool> arenas;
  Behaviour behaviour;
  std::mutex mutex;                                      ///< Of what follows.
  std::shared_ptr<const Plan> plan;                      ///< nullptr once unloaded.
  std::vector<std::weak_ptr<EmulatorRequest>> requests;  ///< Each has the plan, too.
};

[[noreturn]] void throw_unloaded(const Loaded& loaded) {
  throw EvaluateError("kernel '" + loaded.function + "' has been unloaded; compile it again", 0);
}

/// An evaluation that takes one thread less is better run beside others than on all threads.
constexpr std::chrono::nanoseconds kSmallWork = std::chrono::microseconds(50);

/// How long a plan takes one thread, by the elements that its steps touch, its arithmetic, and what
/// a step costs besides.
std::chrono::nanoseconds work_of(const Plan& plan) {
  constexpr double kElementsPerNs = 16;
  constexpr double kFlopsPerNs = 100;
  constexpr double kNsPerStep = 300;
  double work = kNsPerStep * static_cast<double>(plan.steps.size());
  for (const PlannedTensor& tensor : plan.tensors) {
    work += static_cast<double>(tensor.layout.count()) / kElementsPerNs;
  }
  for (const PlannedGroup& group : plan.groups) work += group.flops.value_or(0) / kFlopsPerNs;
  return estimated_work(work);
}

std::vector<std::uint64_t> memory_keys(const std::vector<std::shared_ptr<Surface>>& surfaces) {
  std::vector<std::uint64_t> keys;
  for (const auto& surface : surfaces) keys.push_back(surface->memory_key());
  return keys;
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
    output_specs_ = plan->outputs;
    if (states_.empty()) {
      for (const TensorSpec& spec : plan->states) states_.push_back(create_surface(spec.n_bytes));
    }
    const Behaviour& behaviour = loaded_->behaviour;
    const bool is_plain = !behaviour.poisons && !behaviour.is_poisoned;
    const auto work = work_of(*plan);
    if (is_plain && work <= kSmallWork) {
      footprint_ = {.reads = memory_keys(inputs_), .writes = memory_keys(outputs_), .work = work};
      for (const std::uint64_t key : memory_keys(states_)) footprint_->writes.push_back(key);
    }
    std::vector<std::byte*> kept;
    for (const auto& surface : states_) kept.push_back(surface->data());
    std::vector<std::byte*> from;
    std::vector<std::byte*>& to = output_data_;
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
    execution_ = std::make_unique<Execution>(std::move(plan), std::move(from), to, std::move(kept));
  }

  std::vector<std::shared_ptr<Surface>> states() const override { return states_; }

  const Footprint* footprint() const override { return footprint_ ? &*footprint_ : nullptr; }

  void evaluate() override { evaluate_once(); }

  std::optional<Profile> profile() override {
    Recorder recorder;
    evaluate_once();
    return recorder.finish();
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

  void evaluate_once() {
    const std::lock_guard lock(mutex_);
    if (execution_ == nullptr) throw_unloaded(*loaded_);
    const Behaviour& behaviour = loaded_->behaviour;
    if (behaviour.is_poisoned != nullptr && behaviour.is_poisoned->load()) {
      throw EvaluateError(
          "evaluate: status 0x1d: a program with tile has been evaluated before, "
          "after which nothing can be on this chip until the process ends",
          kInferenceError);
    }
    const ArenaPool::Lease arena(*loaded_->arenas, arena_bytes_);
    execution_->run(arena.data());
    if (behaviour.emits_no_nan) replace_nans();
    if (behaviour.wants_ordered_surfaces && !has_ordered_surfaces()) clear_outputs();
    if (behaviour.poisons) behaviour.is_poisoned->store(true);
    for (const Staged& staged : staged_) {
      std::memcpy(outputs_[staged.output]->data(), staged.bytes.data(), staged.bytes.size());
    }
  }

  void replace_nans() const {
    for (std::size_t i = 0; i < output_specs_.size(); ++i) {
      hardware::replace_nans(output_specs_[i].dtype, output_data_[i], output_specs_[i].n_bytes);
    }
  }

  bool has_ordered_surfaces() const {
    const auto size = [](const std::shared_ptr<Surface>& surface) { return surface->n_bytes(); };
    return std::ranges::is_sorted(inputs_, std::less<>(), size) &&
           std::ranges::is_sorted(outputs_, std::greater<>(), size);
  }

  void clear_outputs() const {
    for (std::size_t i = 0; i < output_specs_.size(); ++i) {
      std::memset(output_data_[i], 0, output_specs_[i].n_bytes);
    }
  }

  std::shared_ptr<Loaded> loaded_;
  std::size_t arena_bytes_;
  std::vector<TensorSpec> output_specs_;
  std::vector<std::byte*> output_data_;
  std::vector<std::shared_ptr<Surface>> inputs_;
  std::vector<std::shared_ptr<Surface>> outputs_;
  std::vector<std::shared_ptr<Surface>> states_;
  std::vector<Staged> staged_;
  std::optional<Footprint> footprint_;
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
  explicit EmulatorDevice(EmulatorOptions options) : options_(std::move(options)) {
    if (options_.numerics || !options_.is_faithful || options_.chip == nullptr) return;
    // What slices do to large values needs no other arithmetic.
    options_.numerics = hardware::numerics_of(*options_.chip);
    options_.numerics->is_ieee = true;
  }

  const std::string& name() const override { return kName; }

  std::optional<Budget> budget() const override {
    auto limit = positive_from_environment(kBudgetVariable);
    if (!limit && options_.is_strict && options_.chip != nullptr) {
      limit = options_.chip->limits.max_compiles.value;
    }
    if (!limit) return std::nullopt;
    constexpr auto kNoLimit = std::numeric_limits<std::int64_t>::max();
    return Budget{
        .compiles = n_compiles_, .compile_limit = *limit, .loaded = 0, .load_limit = kNoLimit};
  }

  std::shared_ptr<Kernel> compile(const mil::Model& model, const CompileOptions& options) override {
    count_compile(model.source_name);
    const mil::Program program = mil::parse(model.text, model.source_name);
    const mil::Function& function = choose_function(program, options.function);
    mil::VerifiedFunction verified =
        mil::verify(program, function, &model.weights, evaluate_constant, options.warn);
    if (options_.is_faithful && options_.chip != nullptr) {
      verified = hardware::with_silent_errors(std::move(verified), *options_.chip);
    }
    const char* plain = std::getenv("PYANE_EMULATOR_PLAIN");
    const bool is_plain =
        plain != nullptr && std::strcmp(plain, "") != 0 && std::strcmp(plain, "0") != 0;
    auto loaded = std::make_shared<Loaded>(function.name, arenas_);
    loaded->plan = std::make_shared<const Plan>(plan(
        verified,
        {.optimizes = !is_plain, .hardware = options_.numerics ? &*options_.numerics : nullptr}));
    loaded->behaviour = behaviour_of(verified);
    arenas_->reserve(loaded->plan->arena_bytes);
    return std::make_shared<EmulatorKernel>(std::move(loaded));
  }

 private:
  Behaviour behaviour_of(const mil::VerifiedFunction& function) const {
    Behaviour behaviour;
    behaviour.emits_no_nan = options_.numerics && !options_.numerics->is_ieee;
    if (options_.is_faithful && options_.chip != nullptr) {
      behaviour.wants_ordered_surfaces = options_.chip->quirks.wants_ordered_surfaces.value;
      behaviour.poisons = hardware::poisons(function, *options_.chip);
      behaviour.is_poisoned = is_poisoned_;
    }
    return behaviour;
  }

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
  EmulatorOptions options_;
  std::shared_ptr<std::atomic<bool>> is_poisoned_ = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<ArenaPool> arenas_ = std::make_shared<ArenaPool>();
};

}  // namespace

std::shared_ptr<Device> create_device(const EmulatorOptions& options) {
  return std::make_shared<EmulatorDevice>(options);
}

}  // namespace pyane::emulator
