#include "pyane/ane/ane_device.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "pyane/ane/ane_framework.h"
#include "pyane/ane/ane_kernel.h"
#include "pyane/ane/explain_refusal.h"
#include "pyane/ane/model_attributes.h"
#include "pyane/base/error.h"
#include "pyane/base/objc_guard.h"

namespace pyane::ane {
namespace {

constexpr std::uint32_t kMaxQos = 63;
constexpr std::uint32_t kHardwareTimeMask = 1;

const std::string kDeviceName = "ane";

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return "[" + text + "]";
}

// @throws CompileError  when the engine's order is not the one pyane binds by.
void check_order(const std::string& function, const char* kind,
                 const std::optional<std::vector<std::string>>& told,
                 const std::vector<TensorSpec>& specs) {
  if (!told) return;
  std::vector<std::string> alphabetical;
  for (const TensorSpec& spec : specs) alphabetical.push_back(spec.name);
  if (*told == alphabetical) return;
  throw CompileError("ANE compile of '" + function + "': the engine orders the " + kind + " " +
                     joined(*told) + " (modelAttributes), but their alphabetical order is " +
                     joined(alphabetical) +
                     ", by which pyane binds. Please report it with `pyane info --json`");
}

// One model on its way through the framework. Steps with Objective-C in them return failures by
// value; steps in C++ throw; neither is nested in the other.
class Compilation {
 public:
  Compilation(const mil::Model& model, const CompileOptions& compile_options,
              const DeviceOptions& options) {
    loaded_.interface = describe_model(model, compile_options);
    loaded_.options = options;
    function_ = loaded_.interface.function;
  }
  ~Compilation() {
    @autoreleasepool {
      loaded_.model = {};
    }
  }

  std::shared_ptr<Kernel> run() {
    create_model();
    LoadSlot slot = CompileBudget::process().take_load_slot(function_);
    loaded_.folder = ModelFolder(temporary_folder_, identifier_, loaded_.interface.model);
    compile_and_load();
    loaded_.slot = std::move(slot);
    note_details();
    loaded_.interface.model = {};
    // From here on the kernel's destructor unloads.
    const std::shared_ptr<Kernel> kernel = make_kernel(std::move(loaded_));
    check_order(function_, "inputs", attributes_.inputs, kernel->inputs());
    check_order(function_, "outputs", attributes_.outputs, kernel->outputs());
    return kernel;
  }

 private:
  const mil::Model& model() const { return loaded_.interface.model; }
  void note(const char* key, std::string value) {
    loaded_.details.emplace_back(key, std::move(value));
  }

  void create_model();
  void compile_and_load();
  bool exists_compiled();
  void compile();
  std::optional<ObjcFailure> load();
  void note_details();

  LoadedModel loaded_;
  std::string function_;
  ModelAttributes attributes_;
  std::string temporary_folder_;
  std::string identifier_;
};

void Compilation::create_model() {
  const auto failure = guarded([&]() -> std::optional<ObjcFailure> {
    const std::string& text = model().text;
    NSMutableDictionary* weights = [NSMutableDictionary dictionary];
    for (const auto& [path, data] : model().weights) {
      NSString* key = [[[NSString alloc] initWithBytes:path.data()
                                                length:path.size()
                                              encoding:NSUTF8StringEncoding] autorelease];
      if (key == nil) return ObjcFailure{.message = "a weight path is not UTF-8", .domain = {}};
      // Copied: the framework may keep the data longer than the caller keeps its buffer.
      NSData* bytes = [NSData dataWithBytes:data.bytes.data() length:data.bytes.size()];
      [weights setObject:@{@"offset" : @0, @"data" : bytes} forKey:key];
    }
    id<AneDescriptor> descriptor = [framework().descriptor
        modelWithMILText:[NSData dataWithBytes:text.data() length:text.size()]
                 weights:weights
            optionsPlist:nil];
    if (descriptor == nil) {
      return ObjcFailure{.message = "_ANEInMemoryModelDescriptor refused the text", .domain = {}};
    }
    id<AneModel> created = [framework().model inMemoryModelWithDescriptor:descriptor];
    if (created == nil) {
      return ObjcFailure{.message = "_ANEInMemoryModel refused the descriptor", .domain = {}};
    }
    loaded_.model = ObjcPtr<id<AneModel>>(created);
    identifier_ = to_string([created hexStringIdentifier]);
    temporary_folder_ = to_string(NSTemporaryDirectory());
    return std::nullopt;
  });
  if (failure) {
    throw AneError("ANE descriptor failed for '" + function_ + "'" + failure->text(), "descriptor",
                   failure->domain, failure->code);
  }
  // It becomes a folder name that is later removed with everything in it.
  const bool is_plain = std::ranges::all_of(identifier_, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-';
  });
  if (identifier_.empty() || !is_plain) {
    throw AneError("ANE descriptor for '" + function_ + "': hexStringIdentifier must be letters " +
                       "and digits, got '" + identifier_ + "'",
                   "descriptor", "", 0);
  }
  note("identifier", identifier_);
}

void Compilation::compile_and_load() {
  if (!exists_compiled()) {
    compile();
    note("compiled", "yes");
  } else {
    note("compiled", "no, compiledModelExists");
    if (!load()) return;
    // Whatever the cache held could not be loaded (an older macOS made it, say): not the program's
    // fault, so compile it after all.
    loaded_.details.back().second = "yes, a cached form did not load";
    compile();
  }
  if (const auto failure = load()) {
    throw CompileError("ANE load failed for '" + function_ + "'" + failure->text());
  }
}

bool Compilation::exists_compiled() {
  bool exists = false;
  guarded([&]() -> std::optional<ObjcFailure> {
    id<AneModel> created = loaded_.model.get();
    exists = [created respondsToSelector:@selector(compiledModelExists)] &&
             [created compiledModelExists];
    return std::nullopt;
  });
  return exists;
}

void Compilation::compile() {
  CompileBudget::process().count_compile(function_);
  const auto failure = guarded([&]() -> std::optional<ObjcFailure> {
    NSError* error = nil;
    if (![loaded_.model.get() compileWithQoS:loaded_.options.qos options:@{} error:&error]) {
      return to_failure(error);
    }
    return std::nullopt;
  });
  if (!failure) return;
  const auto info = device_info();
  const auto kept = keep_failed_text(temporary_folder_, identifier_, model().text);
  throw CompileError("ANE compile failed for '" + function_ + "'" + failure->text() + ". " +
                     (kept.empty() ? "MIL could not be kept in " + temporary_folder_
                                   : "MIL kept in " + kept.string()) +
                     explain_refusal(model(), info ? info->architecture : "", ""));
}

std::optional<ObjcFailure> Compilation::load() {
  return guarded([&]() -> std::optional<ObjcFailure> {
    id<AneModel> created = loaded_.model.get();
    const bool wants_stats =
        loaded_.options.perf_stats && [created respondsToSelector:@selector(setPerfStatsMask:)];
    if (wants_stats) [created setPerfStatsMask:kHardwareTimeMask];
    NSError* error = nil;
    if (![created loadWithQoS:loaded_.options.qos options:@{} error:&error]) {
      return to_failure(error);
    }
    // Loading resets it.
    if (wants_stats) [created setPerfStatsMask:kHardwareTimeMask];
    if ([created respondsToSelector:@selector(modelAttributes)]) {
      attributes_ = read_model_attributes([created modelAttributes]);
    }
    return std::nullopt;
  });
}

void Compilation::note_details() {
  note("order", attributes_.inputs && attributes_.outputs ? "modelAttributes" : "alphabetical");
  for (const LiveTensor& tensor : attributes_.live) {
    note("layout", tensor.name + ": row_stride=" + std::to_string(tensor.row_stride) +
                       " plane_stride=" + std::to_string(tensor.plane_stride));
  }
  guarded([&]() -> std::optional<ObjcFailure> {
    id<AneModel> created = loaded_.model.get();
    if ([created respondsToSelector:@selector(queueDepth)]) {
      note("queue_depth", std::to_string([created queueDepth]));
    }
    if ([created respondsToSelector:@selector(intermediateBufferHandle)]) {
      note("intermediate_buffer", std::to_string([created intermediateBufferHandle]));
    }
    return std::nullopt;
  });
  if (loaded_.options.perf_stats) {
    note("perf_stats", framework().performance_stats != Nil ? "yes" : "no _ANEPerformanceStats");
  }
}

class AneDevice final : public Device {
 public:
  explicit AneDevice(const DeviceOptions& options) : options_(options) {}
  const std::string& name() const override { return kDeviceName; }
  std::optional<Budget> budget() const override { return ane::budget(); }
  std::shared_ptr<Kernel> compile(const mil::Model& model, const CompileOptions& options) override {
    Compilation compilation(model, options, options_);
    // Nobody has shown that the framework compiles and loads from several threads at once.
    static std::mutex one_at_a_time;
    const std::lock_guard guard(one_at_a_time);
    return compilation.run();
  }

 private:
  DeviceOptions options_;
};

}  // namespace

std::shared_ptr<Device> create_device(const DeviceOptions& options) {
  if (options.qos > kMaxQos) {
    throw ShapeError("ANE device: qos must be in [0, " + std::to_string(kMaxQos) + "], got " +
                     std::to_string(options.qos));
  }
  const std::string reason = unavailable_reason();
  if (!reason.empty()) throw AneUnavailableError(reason);
  return std::make_shared<AneDevice>(options);
}

}  // namespace pyane::ane
