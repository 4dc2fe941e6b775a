#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pyane/mil/program.h"

namespace pyane::mil::proto {

/// One input, output or state as Core ML describes it to apps.
struct Feature {
  std::string name;
  std::string kind;  ///< "multiArray", "image", "state", "string", ...
  Shape shape;       ///< Of an array; default when it may vary. May be empty.
  std::vector<Shape> choices;
  /// Lowest and highest size of every dimension; -1 for no upper end.
  std::vector<std::pair<std::int64_t, std::int64_t>> ranges;
  std::string color_space;  ///< Of an image: "RGB", "BGR", "grayscale", ...
  bool is_optional = false;
};

/// A function's features.
struct Interface {
  std::string function;  ///< Empty: the default function.
  std::vector<Feature> inputs;
  std::vector<Feature> outputs;
  std::vector<Feature> states;
};

/// A Core ML model (.mlmodel) as stored.
struct ModelSpec {
  std::uint64_t specification_version = 0;
  std::string kind;  ///< "mlProgram", "neuralNetwork", ...
  std::string default_function;
  std::vector<Interface> interfaces;
  Program program;  ///< Only for kind "mlProgram".
};

/// Reads the protobuf form of a Core ML model. Types, names and values come out as in MIL text; of
/// each function the block is taken that its opset selects. Arguments and attributes, which
/// protobuf keeps in no order, are sorted by name, as Apple's compiler prints them. Functions with
/// open shapes get the attribute FlexibleShapeInformation that Apple's compiler would write.
///
/// The bytes may be anything: reading allocates in proportion to them and never outside.
/// Source of the field numbers: apple/coremltools mlmodel/format/{Model,MIL,FeatureTypes}.proto
/// (BSD-3), read for facts.
///
/// @throws ModelError  naming the byte at fault; for models of another kind, the kind.
ModelSpec read_model_spec(std::span<const std::byte> bytes, std::string name);

}  // namespace pyane::mil::proto
