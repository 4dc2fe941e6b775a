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

// Whether `cls` has the method of `protocol` with that selector, called the same way; if not, what
// it has instead. The private classes may change between versions of macOS: better told than
// crashed into.
bool has_method(Class cls, Protocol* protocol, SEL selector, std::string* found_instead) {
  objc_method_description wanted = protocol_getMethodDescription(protocol, selector, YES, YES);
  const bool is_instance_method = wanted.name != nullptr;
  if (!is_instance_method) {
    wanted = protocol_getMethodDescription(protocol, selector, YES, NO);
  }
  const Method method = is_instance_method ? class_getInstanceMethod(cls, selector)
                                           : class_getClassMethod(cls, selector);
  if (method == nullptr) {
    *found_instead = "nothing";
    return false;
  }
  *found_instead = std::string("types ") + method_getTypeEncoding(method);
  return calling_types(method_getTypeEncoding(method)) == calling_types(wanted.types);
}

// Looks a class up and checks `selectors`; notes the first thing that is missing.
Class find_class(NSString* name, Protocol* protocol, std::initializer_list<SEL> selectors,
                 std::string* missing) {
  Class found = NSClassFromString(name);
  if (found == Nil) {
    if (missing->empty()) *missing = "class " + to_string(name);
    return Nil;
  }
  for (const SEL selector : selectors) {
    std::string found_instead;
    if (!has_method(found, protocol, selector, &found_instead) && missing->empty()) {
      *missing = "method " + to_string(NSStringFromSelector(selector)) + " of " + to_string(name) +
                 " as pyane knows it (found " + found_instead + ")";
    }
  }
  return found;
}

std::string find_classes(Framework& framework) {
  std::string missing;
  const std::optional<ObjcFailure> failure = guarded([&]() -> std::optional<ObjcFailure> {
    framework.descriptor = find_class(
        @"_ANEInMemoryModelDescriptor", @protocol(AneDescriptor),
        { @selector(modelWithMILText:weights:optionsPlist:) }, &missing);
    framework.model = find_class(
        @"_ANEInMemoryModel", @protocol(AneModel),
        {
          @selector(inMemoryModelWithDescriptor:), @selector(hexStringIdentifier),
              @selector(compileWithQoS:options:error:), @selector(loadWithQoS:options:error:),
              @selector(evaluateWithQoS:options:request:error:), @selector(unloadWithQoS:error:)
        },
        &missing);
    framework.surface_object = find_class(
        @"_ANEIOSurfaceObject", @protocol(AneSurfaceObject), { @selector(objectWithIOSurface:) },
        &missing);
    // clang-format off
    framework.request = find_class(
        @"_ANERequest", @protocol(AneRequestObject),
        {@selector(requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:)},
        &missing);
    // clang-format on
    framework.device_info =
        find_class(@"_ANEDeviceInfo", @protocol(AneDeviceInfo), { @selector(hasANE) }, &missing);
    std::string missing_optional;
    framework.performance_stats = find_class(
        @"_ANEPerformanceStats", @protocol(AnePerformanceStats),
        { @selector(statsWithHardwareExecutionNS:), @selector(hwExecutionTime) },
        &missing_optional);
    if (!missing_optional.empty()) framework.performance_stats = Nil;
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
  const auto has = [&](SEL selector) {
    std::string ignored;
    return has_method((Class)info, @protocol(AneDeviceInfo), selector, &ignored);
  };
  guarded([&]() -> std::optional<ObjcFailure> {
    result.has_ane = [info hasANE];
    if (has(@selector(isVirtualMachine))) result.is_virtual_machine = [info isVirtualMachine];
    if (has(@selector(numANEs))) result.n_engines = [info numANEs];
    if (has(@selector(numANECores))) result.n_cores = [info numANECores];
    if (has(@selector(aneBoardType))) result.board_type = [info aneBoardType];
    if (has(@selector(aneArchitectureType))) {
      result.architecture = to_string([info aneArchitectureType]);
    }
    if (has(@selector(aneSubType))) result.sub_type = to_string([info aneSubType]);
    if (has(@selector(productName))) result.product_name = to_string([info productName]);
    if (has(@selector(buildVersion))) result.build_version = to_string([info buildVersion]);
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
