#include "pyane/ane/ane_framework.h"

#include <dlfcn.h>
#include <objc/runtime.h>

#include <cstdlib>
#include <initializer_list>
#include <optional>

#include "pyane/ane/ane_device.h"
#include "pyane/base/objc_guard.h"

namespace pyane::ane {
namespace {

#ifndef PYANE_ANE_FRAMEWORK_PATH
#define PYANE_ANE_FRAMEWORK_PATH \
  "/System/Library/PrivateFrameworks/AppleNeuralEngine.framework/AppleNeuralEngine"
#endif

constexpr const char* kWayOut = ". Use device=\"emulator\"";

// A method's type encoding without what does not change how it is called: offsets, const and other
// qualifiers, signedness, what a pointer points to.
std::string calling_types(const char* encoding) {
  std::string types;
  for (const char* c = encoding; c != nullptr && *c != '\0'; ++c) {
    if (*c == '^') {  // a pointer, whatever its pointee
      types += '^';
      ++c;
      while (*c == '^' || *c == 'r') ++c;
      if (*c == '{') {
        int depth = 0;
        do {
          depth += *c == '{' ? 1 : (*c == '}' ? -1 : 0);
          if (depth > 0) ++c;
        } while (depth > 0 && *c != '\0');
      }
      if (*c == '\0') break;
      continue;
    }
    switch (*c) {
      case 'c':
      case 'C':
      case 'B':
        types += 'B';  // BOOL and bytes
        break;
      case 'i':
      case 'I':
        types += 'I';
        break;
      case 'q':
      case 'Q':
      case 'l':
      case 'L':
        types += 'Q';
        break;
      case '@':
      case '#':
        types += '@';
        break;
      case ':':
        types += ':';
        break;
      default:
        break;  // digits, qualifiers
    }
  }
  return types;
}

// A method as pyane calls it (ane_private.h).
struct Method {
  char kind;          // '+' of the class, '-' of its instances
  const char* types;  // result, self, _cmd, arguments; as calling_types() writes them
  SEL selector;

  std::string name(const std::string& cls) const {
    return kind + ("[" + cls + " " + to_string(NSStringFromSelector(selector)) + "]");
  }
};

// Whether `cls` has `method`, called the same way; if not, what it has instead. The private classes
// may change between versions of macOS: better told than crashed into.
bool has_method(Class cls, const Method& method, std::string* found_instead) {
  const auto found = method.kind == '-' ? class_getInstanceMethod(cls, method.selector)
                                        : class_getClassMethod(cls, method.selector);
  if (found == nullptr) {
    *found_instead = "nothing";
    return false;
  }
  const char* types = method_getTypeEncoding(found);
  *found_instead = std::string("types ") + (types == nullptr ? "unknown" : types);
  return calling_types(types) == method.types;
}

// Looks a class up and checks its methods; notes the first thing that is missing.
Class find_class(NSString* name, std::initializer_list<Method> methods, std::string* missing) {
  Class found = NSClassFromString(name);
  if (found == Nil) {
    if (missing->empty()) *missing = "class " + to_string(name);
    return Nil;
  }
  for (const Method& method : methods) {
    std::string found_instead;
    if (!has_method(found, method, &found_instead) && missing->empty()) {
      *missing = method.name(to_string(name)) + " as pyane knows it (found " + found_instead + ")";
    }
  }
  return found;
}

std::string find_classes(Framework& framework) {
  std::string missing;
  // clang-format off
  const std::initializer_list<Method> descriptor_methods = {
      {'+', "@@:@@@", @selector(modelWithMILText:weights:optionsPlist:)}};
  const std::initializer_list<Method> model_methods = {
      {'+', "@@:@", @selector(inMemoryModelWithDescriptor:)},
      {'-', "@@:", @selector(hexStringIdentifier)},
      {'-', "B@:I@^", @selector(compileWithQoS:options:error:)},
      {'-', "B@:I@^", @selector(loadWithQoS:options:error:)},
      {'-', "B@:I@@^", @selector(evaluateWithQoS:options:request:error:)},
      {'-', "B@:I^", @selector(unloadWithQoS:error:)}};
  const std::initializer_list<Method> surface_methods = {
      {'+', "@@:^", @selector(objectWithIOSurface:)}};
  const std::initializer_list<Method> request_methods = {
      {'+', "@@:@@@@@@@", @selector(requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:)}};
  const std::initializer_list<Method> stats_methods = {
      {'+', "@@:Q", @selector(statsWithHardwareExecutionNS:)},
      {'-', "Q@:", @selector(hwExecutionTime)}};
  const std::initializer_list<Method> info_methods = {{'+', "B@:", @selector(hasANE)}};
  // clang-format on
  const std::optional<ObjcFailure> failure = guarded([&]() -> std::optional<ObjcFailure> {
    framework.descriptor = find_class(@"_ANEInMemoryModelDescriptor", descriptor_methods, &missing);
    framework.model = find_class(@"_ANEInMemoryModel", model_methods, &missing);
    framework.surface_object = find_class(@"_ANEIOSurfaceObject", surface_methods, &missing);
    framework.request = find_class(@"_ANERequest", request_methods, &missing);
    framework.device_info = find_class(@"_ANEDeviceInfo", info_methods, &missing);
    std::string missing_stats;
    framework.performance_stats =
        find_class(@"_ANEPerformanceStats", stats_methods, &missing_stats);
    if (!missing_stats.empty()) framework.performance_stats = Nil;
    return std::nullopt;
  });
  return failure ? failure->message : missing;
}

Framework load() {
  Framework framework;
  const char* other = std::getenv("PYANE_ANE_FRAMEWORK");
  framework.path = other != nullptr && *other != '\0' ? other : PYANE_ANE_FRAMEWORK_PATH;
  // Never closed: Objective-C classes cannot be unloaded.
  if (dlopen(framework.path.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) {
    const char* reason = dlerror();
    framework.missing = "no Apple Neural Engine: AppleNeuralEngine.framework did not load (" +
                        std::string(reason == nullptr ? "no reason given" : reason) + ")" + kWayOut;
    return framework;
  }
  const std::string missing = find_classes(framework);
  if (!missing.empty()) {
    framework.missing = "no usable Apple Neural Engine: " + framework.path + " has no " + missing +
                        "; this version of macOS is not known to pyane (please report it with "
                        "`pyane info --json`)" +
                        kWayOut;
  }
  return framework;
}

}  // namespace

const Framework& framework() {
  static const Framework loaded = load();
  return loaded;
}

std::optional<DeviceInfo> device_info() {
  const Framework& loaded = framework();
  Class<AneDeviceInfo> info = loaded.device_info;
  if (info == Nil) return std::nullopt;
  DeviceInfo result;
  result.framework_path = loaded.path;
  const auto has = [&](const char* types, SEL selector) {
    std::string ignored;
    return has_method((Class)info, {.kind = '+', .types = types, .selector = selector}, &ignored);
  };
  guarded([&]() -> std::optional<ObjcFailure> {
    if (has("B@:", @selector(hasANE))) result.has_ane = [info hasANE];
    if (has("B@:", @selector(isVirtualMachine))) {
      result.is_virtual_machine = [info isVirtualMachine];
    }
    if (has("I@:", @selector(numANEs))) result.n_engines = [info numANEs];
    if (has("I@:", @selector(numANECores))) result.n_cores = [info numANECores];
    if (has("Q@:", @selector(aneBoardType))) result.board_type = [info aneBoardType];
    if (has("@@:", @selector(aneArchitectureType))) {
      result.architecture = to_string([info aneArchitectureType]);
    }
    if (has("@@:", @selector(aneSubType))) result.sub_type = to_string([info aneSubType]);
    if (has("@@:", @selector(productName))) result.product_name = to_string([info productName]);
    if (has("@@:", @selector(buildVersion))) {
      result.build_version = to_string([info buildVersion]);
    }
    return std::nullopt;
  });
  return result;
}

std::string unavailable_reason() {
  const Framework& loaded = framework();
  if (!loaded.missing.empty()) return loaded.missing;
  const std::optional<DeviceInfo> info = device_info();
  if (info->is_virtual_machine) {
    return std::string(
               "no Apple Neural Engine: this is a virtual machine, where the engine refuses "
               "programs (\"hostTooOld\"); run on the host") +
           kWayOut;
  }
  if (!info->has_ane) {
    return std::string("no Apple Neural Engine: _ANEDeviceInfo says this machine has none") +
           kWayOut;
  }
  return {};
}

}  // namespace pyane::ane
