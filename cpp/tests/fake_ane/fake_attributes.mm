#include <algorithm>
#include <vector>

#include "fake_classes.h"
#include "fake_state.h"

using fake_ane::state;

namespace {

constexpr std::size_t kRowAlignment = 64;

std::vector<pyane::TensorSpec> in_engine_order(std::vector<pyane::TensorSpec> specs) {
  if (state().attributes == kFakeAneAttributesReversed) std::ranges::reverse(specs);
  return specs;
}

NSString* name_of(const pyane::TensorSpec& spec) {
  return [NSString stringWithUTF8String:spec.name.c_str()];
}

NSArray* live_list(const std::vector<pyane::TensorSpec>& specs) {
  NSMutableArray* list = [NSMutableArray array];
  for (const pyane::TensorSpec& spec : specs) {
    const std::size_t width = spec.shape.empty() ? 1 : static_cast<std::size_t>(spec.shape.back());
    const std::size_t height =
        spec.shape.size() < 2 ? 1 : static_cast<std::size_t>(spec.shape[spec.shape.size() - 2]);
    const std::size_t packed = width * pyane::dtype_size(spec.dtype);
    const std::size_t row = (packed + kRowAlignment - 1) / kRowAlignment * kRowAlignment;
    [list addObject:@{
      @"Name" : name_of(spec),
      @"Type" : @"Float16",
      @"RowStride" : @(row),
      @"PlaneStride" : @(row * height),
    }];
  }
  return list;
}

NSArray* symbols(const std::vector<pyane::TensorSpec>& specs, NSString* suffix) {
  NSMutableArray* list = [NSMutableArray array];
  for (const pyane::TensorSpec& spec : specs) {
    [list addObject:[name_of(spec) stringByAppendingString:suffix]];
  }
  return list;
}

NSArray* indices(std::size_t n) {
  NSMutableArray* list = [NSMutableArray array];
  for (std::size_t i = 0; i < n; ++i) [list addObject:@(i)];
  return list;
}

}  // namespace

NSDictionary* fake_ane_attributes(const fake_ane::Program& program) {
  const std::int32_t kind = state().attributes;
  if (kind == kFakeAneAttributesAbsent) return nil;
  if (kind == kFakeAneAttributesStrange) {
    return @{
      @"ANEFModelDescription" : @[ @1 ],
      @"NetworkStatusList" : @[
        @{@"LiveInputList" : @"x",
          @"LiveOutputList" : @[]},
        @"y"
      ],
    };
  }
  const std::vector<pyane::TensorSpec> inputs = in_engine_order(program.inputs());
  const std::vector<pyane::TensorSpec> outputs = in_engine_order(program.outputs());
  NSDictionary* status =
      @{@"LiveInputList" : live_list(inputs), @"LiveOutputList" : live_list(outputs)};
  if (kind == kFakeAneAttributesLive) return @{@"NetworkStatusList" : @[ status ]};
  return @{
    @"NetworkStatusList" : @[ status ],
    @"ANEFModelDescription" : @{
      @"ANEFModelInputSymbolsArray" : symbols(inputs, @""),
      @"ANEFModelOutputSymbolsArray" : symbols(outputs, @"@output"),
      @"ANEFModelProcedures" : @[ @{
        @"ANEFModelProcedureID" : @0,
        @"ANEFModelInputSymbolIndexArray" : indices(inputs.size()),
        @"ANEFModelOutputSymbolIndexArray" : indices(outputs.size()),
      } ],
    },
  };
}
