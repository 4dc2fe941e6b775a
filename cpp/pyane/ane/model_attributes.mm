#include "pyane/ane/model_attributes.h"

#include <algorithm>

#include "pyane/base/objc_guard.h"

namespace pyane::ane {
namespace {

// Each of these gives nil for an object of another class, and messages to nil give nil.
NSDictionary* as_dictionary(id object) {
  return [object isKindOfClass:[NSDictionary class]] ? (NSDictionary*)object : nil;
}
NSArray* as_array(id object) {
  return [object isKindOfClass:[NSArray class]] ? (NSArray*)object : nil;
}
NSDictionary* first_dictionary(id object) {
  NSArray* array = as_array(object);
  return [array count] > 0 ? as_dictionary([array objectAtIndex:0]) : nil;
}

// Compiled models mark outputs as "y@output" in some dumps.
std::string symbol_name(id object) {
  if (![object isKindOfClass:[NSString class]]) return {};
  const std::string name = to_string((NSString*)object);
  return name.substr(0, name.find('@'));
}

std::int64_t integer(id object) {
  return [object isKindOfClass:[NSNumber class]] ? [(NSNumber*)object longLongValue] : -1;
}

std::vector<LiveTensor> live_tensors(id object) {
  std::vector<LiveTensor> tensors;
  NSArray* list = as_array(object);
  for (NSUInteger i = 0; i < [list count]; ++i) {
    NSDictionary* entry = as_dictionary([list objectAtIndex:i]);
    tensors.push_back({.name = symbol_name([entry objectForKey:@"Name"]),
                       .row_stride = integer([entry objectForKey:@"RowStride"]),
                       .plane_stride = integer([entry objectForKey:@"PlaneStride"])});
  }
  return tensors;
}

std::optional<std::vector<std::string>> by_symbol_index(id symbols, id indices) {
  NSArray* names = as_array(symbols);
  NSArray* used = as_array(indices);
  if (names == nil) return std::nullopt;
  std::vector<std::int64_t> order;
  for (NSUInteger i = 0; i < [used count]; ++i) order.push_back(integer([used objectAtIndex:i]));
  if (used == nil) {
    for (NSUInteger i = 0; i < [names count]; ++i) order.push_back(static_cast<std::int64_t>(i));
  }
  std::ranges::sort(order);
  std::vector<std::string> result;
  for (const std::int64_t index : order) {
    if (index < 0 || index >= static_cast<std::int64_t>([names count])) return std::nullopt;
    result.push_back(symbol_name([names objectAtIndex:static_cast<NSUInteger>(index)]));
  }
  return result;
}

std::optional<std::vector<std::string>> names_of(const std::vector<LiveTensor>& tensors) {
  if (tensors.empty()) return std::nullopt;
  std::vector<std::string> names;
  for (const LiveTensor& tensor : tensors) names.push_back(tensor.name);
  return names;
}

}  // namespace

ModelAttributes read_model_attributes(NSDictionary* attributes) {
  ModelAttributes result;
  NSDictionary* root = as_dictionary(attributes);
  NSDictionary* description = as_dictionary([root objectForKey:@"ANEFModelDescription"]);
  NSDictionary* procedure = first_dictionary([description objectForKey:@"ANEFModelProcedures"]);
  result.inputs = by_symbol_index([description objectForKey:@"ANEFModelInputSymbolsArray"],
                                  [procedure objectForKey:@"ANEFModelInputSymbolIndexArray"]);
  result.outputs = by_symbol_index([description objectForKey:@"ANEFModelOutputSymbolsArray"],
                                   [procedure objectForKey:@"ANEFModelOutputSymbolIndexArray"]);

  NSDictionary* status = first_dictionary([root objectForKey:@"NetworkStatusList"]);
  std::vector<LiveTensor> live_inputs = live_tensors([status objectForKey:@"LiveInputList"]);
  const std::vector<LiveTensor> live_outputs =
      live_tensors([status objectForKey:@"LiveOutputList"]);
  if (!result.inputs) result.inputs = names_of(live_inputs);
  if (!result.outputs) result.outputs = names_of(live_outputs);
  result.live = std::move(live_inputs);
  result.live.insert(result.live.end(), live_outputs.begin(), live_outputs.end());
  return result;
}

}  // namespace pyane::ane
