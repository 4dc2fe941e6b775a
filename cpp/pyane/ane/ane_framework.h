#pragma once

#include <string>

#include "pyane/ane/ane_private.h"

namespace pyane::ane {

/// The private classes, once found.
struct Framework {
  Class<AneDescriptor> descriptor = Nil;
  Class<AneModel> model = Nil;
  Class<AneSurfaceObject> surface_object = Nil;
  Class<AneRequestObject> request = Nil;
  Class<AnePerformanceStats> performance_stats = Nil;  ///< Optional.
  Class<AneDeviceInfo> device_info = Nil;
  std::string path;     ///< Of the framework that was, or would have been, loaded.
  std::string missing;  ///< Why it cannot be used; empty when it can.
};

/// Loads AppleNeuralEngine.framework on first use, from its usual place or from
/// PYANE_ANE_FRAMEWORK (a stand-in for tests, or a shim that logs calls). Thread-safe.
const Framework& framework();

}  // namespace pyane::ane
