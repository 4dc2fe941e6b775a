#include "pyane/ane/ane_device.h"
#include "pyane/base/error.h"

// Stands in for ane_device.mm where there is no Objective-C runtime to reach the engine through.

namespace pyane::ane {

std::string unavailable_reason() {
  return "no Apple Neural Engine: this build of pyane is not for macOS. Use device=\"emulator\"";
}

std::optional<DeviceInfo> device_info() { return std::nullopt; }

std::shared_ptr<Device> create_device(const DeviceOptions&) {
  throw AneUnavailableError(unavailable_reason());
}

}  // namespace pyane::ane
