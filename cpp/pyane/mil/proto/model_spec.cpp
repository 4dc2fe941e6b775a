#include "pyane/mil/proto/model_spec.h"

#include <algorithm>
#include <array>

#include "pyane/base/error.h"
#include "pyane/mil/proto/readers.h"

namespace pyane::mil::proto {
namespace {

// The oneof Type of Model.
constexpr std::array<std::pair<std::uint32_t, std::string_view>, 34> kKinds = {{
    {200, "pipelineClassifier"},
    {201, "pipelineRegressor"},
    {202, "pipeline"},
    {300, "glmRegressor"},
    {301, "supportVectorRegressor"},
    {302, "treeEnsembleRegressor"},
    {303, "neuralNetworkRegressor"},
    {304, "bayesianProbitRegressor"},
    {400, "glmClassifier"},
    {401, "supportVectorClassifier"},
    {402, "treeEnsembleClassifier"},
    {403, "neuralNetworkClassifier"},
    {404, "kNearestNeighborsClassifier"},
    {500, "neuralNetwork"},
    {501, "itemSimilarityRecommender"},
    {502, "mlProgram"},
    {555, "customModel"},
    {556, "linkedModel"},
    {560, "classConfidenceThresholding"},
    {600, "oneHotEncoder"},
    {601, "imputer"},
    {602, "featureVectorizer"},
    {603, "dictVectorizer"},
    {604, "scaler"},
    {606, "categoricalMapping"},
    {607, "normalizer"},
    {609, "arrayFeatureExtractor"},
    {610, "nonMaximumSuppression"},
    {900, "identity"},
    {2000, "textClassifier"},
    {2001, "wordTagger"},
    {2002, "visionFeaturePrint"},
    {2006, "audioFeaturePrint"},
    {3000, "serializedModel"},
}};

// The engine's compiler refuses a text without this attribute, whatever it says (ANE050), and
// coremltools leaves it out of models that it compressed.
void add_build_info(Program& program) {
  constexpr std::string_view kName = "buildInfo";
  const auto is_it = [&](const Attribute& attribute) { return attribute.name == kName; };
  if (std::ranges::any_of(program.attributes, is_it)) return;
  Type type;
  type.kind = Type::Kind::kDict;
  const Literal key = Literal::of(std::string("coremlc-version"));
  type.elements = {key.type, key.type};
  std::vector<Literal> entry{key, Literal::of(std::string("3505.4.1"))};
  program.attributes.push_back(
      {.name = std::string(kName),
       .value = {.type = std::move(type), .payload = std::move(entry), .location = {}},
       .location = {}});
  std::ranges::sort(program.attributes, {}, &Attribute::name);
}

}  // namespace

// Model { specificationVersion 1, description 2, ..., mlProgram 502, ... }
ModelSpec read_model_spec(std::span<const std::byte> bytes, std::string name) {
  File file{.bytes = bytes, .name = std::move(name)};
  ModelSpec spec;
  spec.program.version = kTextVersion;  // Also without functions, for another kind of model.
  Message message(file, bytes);
  for (Field field; message.next(field);) {
    if (field.number == 1) {
      spec.specification_version = number(file, field);
    } else if (field.number == 2) {
      read_description(Message(file, field), spec);
    } else if (const auto kind = std::ranges::find(
                   kKinds, field.number, &std::pair<std::uint32_t, std::string_view>::first);
               kind != kKinds.end()) {
      spec.kind = kind->second;
      if (spec.kind != "mlProgram") continue;
      spec.program = read_program(Message(file, field));
      add_build_info(spec.program);
    }
  }
  for (Function& function : spec.program.functions) {
    for (const Interface& interface : spec.interfaces) {
      const std::string& meant =
          interface.function.empty() ? spec.default_function : interface.function;
      if (meant != function.name && !(meant.empty() && function.name == "main")) continue;
      auto flexible = flexible_shape_information(interface.inputs);
      const auto has_name = [&](const Attribute& attribute) {
        return flexible && attribute.name == flexible->name;
      };
      if (flexible && std::ranges::none_of(function.attributes, has_name)) {
        function.attributes.push_back(*std::move(flexible));
        std::ranges::sort(function.attributes, {}, &Attribute::name);
      }
    }
  }
  return spec;
}

}  // namespace pyane::mil::proto
