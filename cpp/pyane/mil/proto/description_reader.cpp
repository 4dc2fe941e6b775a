#include <algorithm>
#include <array>
#include <utility>

#include "pyane/mil/limits.h"
#include "pyane/mil/proto/readers.h"

namespace pyane::mil::proto {
namespace {

// Sizes beyond int32 have no meaning here: they become "no upper end".
std::int64_t size_of(std::uint64_t value) {
  return value > static_cast<std::uint64_t>(kMaxDimension) ? -1 : static_cast<std::int64_t>(value);
}

void add_sizes(const File& file, const Field& field, Shape& shape) {
  const auto add = [&](std::uint64_t value) {
    if (shape.size() == kMaxRank) {
      file.fail(field.place,
                "a feature must have at most " + std::to_string(kMaxRank) + " dimensions");
    }
    shape.push_back(size_of(value));
  };
  if (field.wire != Wire::kBytes) return add(number(file, field));
  for (auto rest = field.bytes; !rest.empty();) add(take_varint(file, rest));
}

// SizeRange { lowerBound 1, upperBound 2 }; a negative upper bound is none.
std::pair<std::int64_t, std::int64_t> read_range(Message message) {
  std::pair<std::int64_t, std::int64_t> range{0, 0};
  for (Field field; message.next(field);) {
    if (field.number == 1) range.first = std::max<std::int64_t>(0, size_of(field.value));
    if (field.number == 2) range.second = size_of(field.value);
  }
  return range;
}

// ArrayFeatureType { shape 1, enumeratedShapes 21 { shapes 1 { shape 1 } },
//                    shapeRange 31 { sizeRanges 1 } }
void read_array(Message message, Feature& feature) {
  File& file = message.file();
  for (Field field; message.next(field);) {
    if (field.number == 1) add_sizes(file, field, feature.shape);
    if (field.number != 21 && field.number != 31) continue;
    Message inner(file, field);
    for (Field part; inner.next(part);) {
      if (part.number != 1) continue;
      if (field.number == 31) {
        feature.ranges.push_back(read_range(Message(file, part)));
        continue;
      }
      Shape choice;
      Message sizes(file, part);
      for (Field size; sizes.next(size);) {
        if (size.number == 1) add_sizes(file, size, choice);
      }
      feature.choices.push_back(std::move(choice));
    }
  }
}

// ImageFeatureType { width 1, height 2, colorSpace 3, imageSizeRange 31 { width 1, height 2 },
//                    enumeratedSizes 21 { sizes 1 { width 1, height 2 } } }
void read_image(Message message, Feature& feature) {
  File& file = message.file();
  constexpr std::array<std::pair<std::uint64_t, std::string_view>, 4> kSpaces = {
      {{10, "grayscale"}, {20, "RGB"}, {30, "BGR"}, {40, "grayscale fp16"}}};
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::int64_t channels = 3;
  for (Field field; message.next(field);) {
    if (field.number == 1) width = size_of(number(file, field));
    if (field.number == 2) height = size_of(number(file, field));
    if (field.number != 3) continue;
    for (const auto& [value, name] : kSpaces) {
      if (number(file, field) != value) continue;
      feature.color_space = name;
      channels = value == 10 || value == 40 ? 1 : 3;
    }
  }
  feature.shape = {1, channels, height, width};
}

// FeatureDescription { name 1, type 3 { ..., isOptional 1000 } }
Feature read_feature(File& file, const Field& field) {
  constexpr std::array<std::string_view, 9> kKinds = {
      "", "int64", "double", "string", "image", "multiArray", "dictionary", "sequence", "state"};
  Feature feature;
  Message message(file, field);
  for (Field part; message.next(part);) {
    if (part.number == 1) feature.name = string(file, part);
    if (part.number != 3) continue;
    Message type(file, part);
    for (Field kind; type.next(kind);) {
      if (kind.number == 1000) feature.is_optional = number(file, kind) != 0;
      if (kind.number < 1 || kind.number >= kKinds.size()) continue;
      feature.kind = kKinds[kind.number];
      const Message inner(file, kind);
      if (kind.number == 5) read_array(inner, feature);
      if (kind.number == 4) read_image(inner, feature);
      if (kind.number != 8) continue;
      Message state = inner;
      for (Field array; state.next(array);) {
        if (array.number == 1) read_array(Message(file, array), feature);
      }
    }
  }
  return feature;
}

/// FunctionDescription { name 1, input 2, output 3, state 6 }
Interface read_function_description(Message message) {
  File& file = message.file();
  Interface interface;
  for (Field field; message.next(field);) {
    if (field.number == 1) interface.function = string(file, field);
    if (field.number == 2) interface.inputs.push_back(read_feature(file, field));
    if (field.number == 3) interface.outputs.push_back(read_feature(file, field));
    if (field.number == 6) interface.states.push_back(read_feature(file, field));
  }
  return interface;
}

// ---- FlexibleShapeInformation

Type scalar(DType dtype) { return Type::scalar(dtype); }

Type dict_type(Type value) {
  Type type;
  type.kind = Type::Kind::kDict;
  type.elements = {scalar(DType::kString), std::move(value)};
  return type;
}

Literal numbers(const Shape& values) {
  Literal literal = Literal::of(values);
  literal.type.dims = {kUnknownDim};
  return literal;
}

/// (kind, {key: value, ...})
Literal pair_of(const char* kind, Type value_type, std::vector<Literal> entries) {
  Literal dict{
      .type = dict_type(std::move(value_type)), .payload = std::move(entries), .location = {}};
  Type type;
  type.kind = Type::Kind::kTuple;
  type.elements = {scalar(DType::kString), dict.type};
  return {.type = std::move(type),
          .payload = std::vector<Literal>{Literal::of(std::string(kind)), std::move(dict)},
          .location = {}};
}

Literal ranges_literal(const Feature& feature, const Type& type) {
  std::vector<Literal> items;
  for (const auto& [low, high] : feature.ranges) {
    Literal ends = Literal::of(std::vector<std::int64_t>{low, high});
    items.push_back(std::move(ends));
  }
  return {.type = type, .payload = std::move(items), .location = {}};
}

}  // namespace

// ModelDescription { input 1, output 10, state 13, functions 20, defaultFunctionName 21 }
void read_description(Message message, ModelSpec& spec) {
  File& file = message.file();
  Interface main;
  for (Field field; message.next(field);) {
    if (field.number == 1) main.inputs.push_back(read_feature(file, field));
    if (field.number == 10) main.outputs.push_back(read_feature(file, field));
    if (field.number == 13) main.states.push_back(read_feature(file, field));
    if (field.number == 20) {
      spec.interfaces.push_back(read_function_description(Message(file, field)));
    }
    if (field.number == 21) spec.default_function = string(file, field);
  }
  if (!main.inputs.empty() || !main.outputs.empty()) spec.interfaces.push_back(std::move(main));
}

std::optional<Attribute> flexible_shape_information(const std::vector<Feature>& inputs) {
  const Type shape_type = Type::tensor(DType::kInt32, {kUnknownDim});
  Type range_type;
  range_type.kind = Type::Kind::kList;
  range_type.elements = {Type::tensor(DType::kInt32, {2})};
  std::vector<Literal> defaults;
  std::vector<Literal> ranges;
  std::vector<Literal> choices;
  for (const Feature& input : inputs) {
    if (input.kind != "multiArray" || (input.ranges.empty() && input.choices.empty())) continue;
    if (!input.shape.empty()) {
      defaults.push_back(Literal::of(input.name));
      defaults.push_back(numbers(input.shape));
    }
    if (!input.ranges.empty()) {
      ranges.push_back(Literal::of(input.name));
      ranges.push_back(ranges_literal(input, range_type));
    }
    for (const Shape& choice : input.choices) {
      choices.push_back(Literal::of(input.name + to_string(choice)));
      choices.push_back({.type = dict_type(shape_type),
                         .payload = std::vector<Literal>{Literal::of(input.name), numbers(choice)},
                         .location = {}});
    }
  }
  std::vector<Literal> parts;
  if (!defaults.empty()) parts.push_back(pair_of("DefaultShapes", shape_type, std::move(defaults)));
  if (!choices.empty()) {
    parts.push_back(pair_of("EnumeratedShapes", dict_type(shape_type), std::move(choices)));
  }
  if (!ranges.empty()) parts.push_back(pair_of("RangeDims", range_type, std::move(ranges)));
  if (parts.empty()) return std::nullopt;
  Type type;
  type.kind = Type::Kind::kTuple;
  for (const Literal& part : parts) type.elements.push_back(part.type);
  return Attribute{.name = "FlexibleShapeInformation",
                   .value = {.type = std::move(type), .payload = std::move(parts), .location = {}},
                   .location = {}};
}

}  // namespace pyane::mil::proto
