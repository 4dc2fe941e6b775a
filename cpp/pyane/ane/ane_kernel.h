#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pyane/ane/ane_device.h"
#include "pyane/ane/ane_framework.h"
#include "pyane/ane/compile_budget.h"
#include "pyane/ane/model_folder.h"
#include "pyane/ane/model_interface.h"
#include "pyane/base/objc_ptr.h"

namespace pyane::ane {

/// A model that the framework has loaded, with everything that must live as long as it does.
struct LoadedModel {
  ModelInterface interface;
  DeviceOptions options;
  ModelFolder folder;
  LoadSlot slot;
  ObjcPtr<id<AneModel>> model;
  std::vector<std::pair<std::string, std::string>> details;
};

std::shared_ptr<Kernel> make_kernel(LoadedModel loaded);

}  // namespace pyane::ane
