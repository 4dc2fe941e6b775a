#pragma once

#include <memory>
#include <optional>

#include "pyane/chip/profile.h"
#include "pyane/emulator/hardware/numerics.h"
#include "pyane/engine/device.h"

namespace pyane::emulator {

struct EmulatorOptions {
  /// The chip whose rules hold where one of the others asks for them; nullptr: none does.
  const chip::Profile* chip = nullptr;
  /// The chip's own arithmetic; nullopt: fp16 storage, fp32 accumulation, one IEEE rounding per
  /// operation.
  std::optional<hardware::Numerics> numerics;
  /// Reproduce the chip's silent errors.
  bool is_faithful = false;
  /// Compile as often as the chip's process may. Other refusals are the caller's (chip/check.h).
  bool is_strict = false;
};

/// The CPU device. Results do not depend on the number of threads.
std::shared_ptr<Device> create_device(const EmulatorOptions& options = {});

}  // namespace pyane::emulator
