#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "pyane/engine/device.h"

namespace pyane::ane {

/// Empty when this process can reach an Apple Neural Engine; otherwise why not (framework missing,
/// classes missing, virtual machine, not macOS) and what to do.
std::string unavailable_reason();

/// What AppleNeuralEngine.framework says of the machine (_ANEDeviceInfo). Facts that this version
/// of the framework does not tell are empty, or -1.
struct DeviceInfo {
  std::string framework_path;  ///< What was loaded; not Apple's when a stand-in is in use.
  bool has_ane = false;
  bool is_virtual_machine = false;
  std::int64_t n_engines = -1;
  std::int64_t n_cores = -1;
  std::string architecture;  ///< "h13g" (M1 Pro, Max), "h16g" (M4), ...
  std::string sub_type;
  std::int64_t board_type = -1;
  std::string product_name;
  std::string build_version;
};

/// nullopt where the framework cannot be loaded.
std::optional<DeviceInfo> device_info();

struct DeviceOptions {
  /// Quality of service given with every call, as 21 in every program seen; 0-63 made no difference
  /// where it was tried (docs/ane.md, constraint 49).
  std::uint32_t qos = 21;
  /// Ask the engine for its own execution time (Request::device_time_ns).
  bool perf_stats = false;
};

/// @throws AneUnavailableError  with unavailable_reason().
/// @throws ShapeError  for a quality of service outside [0, 63].
std::shared_ptr<Device> create_device(const DeviceOptions& options = {});

/// Compilations asked of the framework by this process and programs it has loaded: the framework
/// starts to fail, for every later program too, after about 119 and 128 (docs/ane.md, constraint
/// 35). PYANE_ANE_COMPILE_LIMIT and PYANE_ANE_LOAD_LIMIT set other limits.
Budget budget();

}  // namespace pyane::ane
