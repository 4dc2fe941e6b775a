#pragma once

#import <Foundation/Foundation.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pyane::ane {

/// One entry of LiveInputList or LiveOutputList. Strides in bytes; -1 when not given.
struct LiveTensor {
  std::string name;
  std::int64_t row_stride = -1;
  std::int64_t plane_stride = -1;
};

/// What -[_ANEInMemoryModel modelAttributes] tells after load:
///
///   ANEFModelDescription
///     ANEFModelInputSymbolsArray, ANEFModelOutputSymbolsArray   names; position = symbol index
///     ANEFModelProcedures[0]
///       ANEFModelInputSymbolIndexArray, ANEFModelOutputSymbolIndexArray
///   NetworkStatusList[0]
///     LiveInputList, LiveOutputList                             Name, RowStride, PlaneStride
///
/// Seen in dumps, not documented: every level may be missing or of another class, and is then
/// treated as absent.
struct ModelAttributes {
  /// Names by symbol index, that is in the order in which a request binds; nullopt: not told.
  std::optional<std::vector<std::string>> inputs;
  std::optional<std::vector<std::string>> outputs;
  std::vector<LiveTensor> live;
};

/// Needs an autorelease pool. `attributes` may be nil.
ModelAttributes read_model_attributes(NSDictionary* attributes);

}  // namespace pyane::ane
