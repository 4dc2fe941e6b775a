#include "pyane/ane/ane_kernel.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <shared_mutex>

#include "pyane/base/error.h"
#include "pyane/base/objc_guard.h"
#include "pyane/engine/binding.h"

namespace pyane::ane {
namespace {

const std::string kDeviceName = "ane";

// The engine's status inside an NSError's text: "... Failed with status=0x1d : statusType=0x9:
// ...".
std::int64_t status_of(const ObjcFailure& failure) {
  const std::string marker = "status=0x";
  const std::size_t at = failure.message.find(marker);
  if (at == std::string::npos) return failure.code;
  return std::strtoll(failure.message.c_str() + at + marker.size(), nullptr, 16);
}

class AneKernel;

class AneRequest final : public Request {
 public:
  AneRequest(std::shared_ptr<AneKernel> kernel, std::vector<std::shared_ptr<Surface>> inputs,
             std::vector<std::shared_ptr<Surface>> outputs)
      : kernel_(std::move(kernel)),
        inputs_(std::move(inputs)),
        outputs_(outputs),
        targets_(std::move(outputs)) {}
  ~AneRequest() override {
    @autoreleasepool {
      request_ = {};
      stats_ = {};
    }
  }

  /// Whether the engine could write an output while it still reads an input from the same memory
  /// is not known, so such outputs go to a surface of their own first.
  void stage_shared_outputs();
  std::optional<ObjcFailure> create(const DeviceOptions& options);
  void evaluate() override;
  std::optional<std::uint64_t> device_time_ns() const override {
    const std::lock_guard guard(mutex_);
    return device_time_ns_;
  }

 private:
  std::shared_ptr<AneKernel> kernel_;
  std::vector<std::shared_ptr<Surface>> inputs_;
  std::vector<std::shared_ptr<Surface>> outputs_;  ///< As the engine writes them.
  std::vector<std::shared_ptr<Surface>> targets_;  ///< As the caller bound them.
  ObjcPtr<id<AneRequestObject>> request_;
  ObjcPtr<id<AnePerformanceStats>> stats_;
  std::optional<std::uint64_t> device_time_ns_;
  mutable std::mutex mutex_;  ///< One evaluate at a time.
};

class AneKernel final : public Kernel, public std::enable_shared_from_this<AneKernel> {
 public:
  explicit AneKernel(LoadedModel loaded) : loaded_(std::move(loaded)) {}
  ~AneKernel() override {
    // A destructor cannot report that unloading failed; unload() can.
    static_cast<void>(unload_if_loaded());
  }

  const std::vector<TensorSpec>& inputs() const override { return loaded_.interface.inputs; }
  const std::vector<TensorSpec>& outputs() const override { return loaded_.interface.outputs; }
  std::size_t surface_bytes() const override { return loaded_.interface.surface_bytes; }
  std::shared_ptr<Request> bind(std::vector<std::shared_ptr<Surface>> inputs,
                                std::vector<std::shared_ptr<Surface>> outputs,
                                std::vector<std::shared_ptr<Surface>> states) override;
  void unload() override {
    if (const auto failure = unload_if_loaded()) {
      throw AneError("ANE unload failed for '" + function() + "'" + failure->text(), "unload",
                     failure->domain, failure->code);
    }
  }
  bool is_loaded() const override { return is_loaded_; }
  const std::string& device_name() const override { return kDeviceName; }
  std::vector<std::pair<std::string, std::string>> details() const override {
    return loaded_.details;
  }

  const std::string& function() const { return loaded_.interface.function; }
  void evaluate(id<AneRequestObject> request, id<AnePerformanceStats> stats,
                std::optional<std::uint64_t>* device_time_ns);

 private:
  std::optional<ObjcFailure> unload_if_loaded();
  [[noreturn]] void throw_unloaded() const {
    throw EvaluateError("kernel '" + function() + "' has been unloaded; compile it again", 0);
  }
  void check_uniform(const std::vector<std::shared_ptr<Surface>>& inputs,
                     const std::vector<std::shared_ptr<Surface>>& outputs) const;

  LoadedModel loaded_;
  std::atomic<bool> is_loaded_{true};
  std::shared_mutex state_mutex_;  ///< Evaluates share it, unload has it alone.
};

void AneRequest::stage_shared_outputs() {
  for (std::shared_ptr<Surface>& output : outputs_) {
    const bool is_shared = std::ranges::any_of(
        inputs_, [&](const auto& input) { return input->shares_memory_with(*output); });
    if (is_shared) output = create_surface(output->n_bytes());
  }
}

std::optional<ObjcFailure> AneRequest::create(const DeviceOptions& options) {
  return guarded([&]() -> std::optional<ObjcFailure> {
    const auto bind_all = [](const std::vector<std::shared_ptr<Surface>>& surfaces,
                             NSMutableArray* objects, NSMutableArray* indices) {
      for (std::size_t i = 0; i < surfaces.size(); ++i) {
        auto native = static_cast<IOSurfaceRef>(surfaces[i]->native_handle());
        id<AneSurfaceObject> object = [framework().surface_object objectWithIOSurface:native];
        if (object == nil) return false;
        [objects addObject:object];
        [indices addObject:@(i)];
      }
      return true;
    };
    NSMutableArray* inputs = [NSMutableArray array];
    NSMutableArray* input_indices = [NSMutableArray array];
    NSMutableArray* outputs = [NSMutableArray array];
    NSMutableArray* output_indices = [NSMutableArray array];
    if (!bind_all(inputs_, inputs, input_indices) || !bind_all(outputs_, outputs, output_indices)) {
      return ObjcFailure{.message = "_ANEIOSurfaceObject refused a surface", .domain = {}};
    }
    Class<AnePerformanceStats> stats_class = framework().performance_stats;
    if (options.perf_stats && stats_class != Nil) {
      stats_ = ObjcPtr<id<AnePerformanceStats>>([stats_class statsWithHardwareExecutionNS:0]);
    }
    id<AneRequestObject> request = [framework().request requestWithInputs:inputs
                                                             inputIndices:input_indices
                                                                  outputs:outputs
                                                            outputIndices:output_indices
                                                            weightsBuffer:nil
                                                                perfStats:stats_.get()
                                                           procedureIndex:@0];
    if (request == nil) return ObjcFailure{.message = "_ANERequest refused it", .domain = {}};
    request_ = ObjcPtr<id<AneRequestObject>>(request);
    return std::nullopt;
  });
}

void AneRequest::evaluate() {
  const std::lock_guard guard(mutex_);
  // Views of a surface are read and written without a lock. Taking one around the evaluation makes
  // what the CPU wrote visible to the engine, and what the engine wrote visible to the CPU.
  for (const auto& input : inputs_) const SurfaceLock written(*input, LockMode::kReadWrite);
  kernel_->evaluate(request_.get(), stats_.get(), &device_time_ns_);
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const SurfaceLock read(*outputs_[i], LockMode::kReadOnly);
    if (outputs_[i] == targets_[i]) continue;
    const SurfaceLock written(*targets_[i], LockMode::kReadWrite);
    std::memcpy(targets_[i]->data(), outputs_[i]->data(), kernel_->outputs()[i].n_bytes);
  }
}

std::shared_ptr<Request> AneKernel::bind(std::vector<std::shared_ptr<Surface>> inputs,
                                         std::vector<std::shared_ptr<Surface>> outputs,
                                         std::vector<std::shared_ptr<Surface>> states) {
  check_states(this->states(), states, inputs, outputs);
  check_binding(loaded_.interface.inputs, loaded_.interface.outputs, inputs, outputs);
  check_uniform(inputs, outputs);
  const std::shared_lock guard(state_mutex_);
  if (!is_loaded_) throw_unloaded();
  auto request =
      std::make_shared<AneRequest>(shared_from_this(), std::move(inputs), std::move(outputs));
  request->stage_shared_outputs();
  if (const auto failure = request->create(loaded_.options)) {
    throw AneError("ANE request failed for '" + function() + "'" + failure->text(), "request",
                   failure->domain, failure->code);
  }
  return request;
}

void AneKernel::check_uniform(const std::vector<std::shared_ptr<Surface>>& inputs,
                              const std::vector<std::shared_ptr<Surface>>& outputs) const {
  const std::string* first_name = nullptr;
  std::size_t first_bytes = 0;
  const auto compare = [&](const std::vector<TensorSpec>& specs,
                           const std::vector<std::shared_ptr<Surface>>& surfaces) {
    for (std::size_t i = 0; i < specs.size(); ++i) {
      const std::size_t n_bytes = surfaces[i]->n_bytes();
      if (first_name == nullptr) {
        first_name = &specs[i].name;
        first_bytes = n_bytes;
      } else if (n_bytes != first_bytes) {
        throw ShapeError("bind '" + function() +
                         "': the engine wants one allocation size for all surfaces of a request, "
                         "got '" +
                         *first_name + "' " + std::to_string(first_bytes) + " and '" +
                         specs[i].name + "' " + std::to_string(n_bytes) +
                         " bytes. Create them all with Kernel.surface_bytes = " +
                         std::to_string(surface_bytes()) + ", or one common larger size");
      }
    }
  };
  compare(loaded_.interface.inputs, inputs);
  compare(loaded_.interface.outputs, outputs);
}

void AneKernel::evaluate(id<AneRequestObject> request, id<AnePerformanceStats> stats,
                         std::optional<std::uint64_t>* device_time_ns) {
  const std::shared_lock guard(state_mutex_);
  if (!is_loaded_) throw_unloaded();
  const auto failure = guarded([&]() -> std::optional<ObjcFailure> {
    NSError* error = nil;
    if (![loaded_.model.get() evaluateWithQoS:loaded_.options.qos
                                      options:@{}
                                      request:request
                                        error:&error]) {
      return to_failure(error);
    }
    if (stats != nil) *device_time_ns = [stats hwExecutionTime];
    return std::nullopt;
  });
  if (failure) {
    throw EvaluateError("ANE evaluate failed for '" + function() + "'" + failure->text(),
                        status_of(*failure));
  }
}

std::optional<ObjcFailure> AneKernel::unload_if_loaded() {
  // First the flag, so that threads that evaluate without a pause let this one in.
  if (!is_loaded_.exchange(false)) return std::nullopt;
  const std::unique_lock guard(state_mutex_);
  const auto failure = guarded([&]() -> std::optional<ObjcFailure> {
    NSError* error = nil;
    const bool is_done = [loaded_.model.get() unloadWithQoS:loaded_.options.qos error:&error];
    loaded_.model = {};
    if (!is_done) return to_failure(error);
    return std::nullopt;
  });
  if (failure) loaded_.slot.forfeit();
  loaded_.slot = {};
  loaded_.folder = {};
  return failure;
}

}  // namespace

std::shared_ptr<Kernel> make_kernel(LoadedModel loaded) {
  return std::make_shared<AneKernel>(std::move(loaded));
}

}  // namespace pyane::ane
