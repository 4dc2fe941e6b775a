#include "pyane/ane/model_interface.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "pyane/base/error.h"
#include "pyane/mil/parser.h"
#include "pyane/mil/printer.h"
#include "pyane/mil/program.h"
#include "pyane/mil/verifier.h"

namespace pyane::ane {
namespace {

constexpr std::size_t kRowAlignment = 64;  // bytes; RowStride in modelAttributes

const mil::Function& find_function(const mil::Program& program, const std::string& wanted) {
  if (wanted.empty() && program.functions.size() == 1) return program.functions.front();
  const std::string name = wanted.empty() ? "main" : wanted;
  if (const mil::Function* found = program.find_function(name)) return *found;
  std::string names;
  for (const mil::Function& function : program.functions) {
    names += (names.empty() ? "" : ", ") + function.name;
  }
  throw MilVerifyError(program.source_name + ": no function '" + name +
                           "'; the program has: " + (names.empty() ? "none" : names),
                       "", 0, 0);
}

const mil::Type* find_type(const mil::Function& function, std::string_view name) {
  for (const mil::Value& value : function.parameters) {
    if (value.name == name) return &value.type;
  }
  for (const mil::Operation& operation : function.body.operations) {
    for (const mil::Value& value : operation.outputs) {
      if (value.name == name) return &value.type;
    }
  }
  return nullptr;
}

TensorSpec to_spec(const mil::Function& function, const std::string& name, const mil::Type& type) {
  const std::optional<std::int64_t> count = element_count(type.dims);
  if (!type.is_tensor() || !count || *count < 1 || dtype_size(type.dtype) == 0) {
    throw ShapeError("ANE compile of '" + function.name + "': '" + name +
                     "' must be a tensor of numbers with known dimensions to be bound to a "
                     "surface, got " +
                     mil::to_string(type));
  }
  return {.name = name,
          .dtype = type.dtype,
          .shape = type.dims,
          .n_bytes = static_cast<std::size_t>(*count) * dtype_size(type.dtype)};
}

std::size_t padded_bytes(const TensorSpec& spec) {
  const std::size_t width = spec.shape.empty() ? 1 : static_cast<std::size_t>(spec.shape.back());
  const std::size_t row = width * dtype_size(spec.dtype);
  const std::size_t n_rows = spec.n_bytes / row;
  const std::size_t padded_row = (row + kRowAlignment - 1) / kRowAlignment * kRowAlignment;
  if (n_rows > std::numeric_limits<std::size_t>::max() / padded_row) return spec.n_bytes;
  return n_rows * padded_row;
}

void sort_by_name(std::vector<TensorSpec>& specs) {
  std::ranges::sort(specs, {}, &TensorSpec::name);
}

}  // namespace

ModelInterface describe_model(const mil::Model& model, const CompileOptions& options) {
  const mil::Program program = mil::parse(model.text, model.source_name);
  const mil::Function& function = find_function(program, options.function);
  try {
    static_cast<void>(mil::verify(program, function, &model.weights));
  } catch (const UnsupportedOpError&) {
    // MIL that Apple's compiler may know and pyane does not. The interface is declared in the text.
  }

  ModelInterface interface;
  interface.function = function.name;
  interface.model = model;
  for (const mil::Value& parameter : function.parameters) {
    interface.inputs.push_back(to_spec(function, parameter.name, parameter.type));
  }
  for (const mil::Operand& output : function.body.outputs) {
    const mil::Type* type = output.is_name() ? find_type(function, output.name()) : nullptr;
    if (type == nullptr) {
      throw MilVerifyError(model.source_name + ": function '" + function.name +
                               "' returns something it does not define",
                           "", output.location.line, output.location.column);
    }
    interface.outputs.push_back(to_spec(function, output.name(), *type));
  }
  sort_by_name(interface.inputs);
  sort_by_name(interface.outputs);
  interface.surface_bytes = kMinSurfaceBytes;
  for (const auto* specs : {&interface.inputs, &interface.outputs}) {
    for (const TensorSpec& spec : *specs) {
      interface.surface_bytes = std::max(interface.surface_bytes, padded_bytes(spec));
    }
  }
  if (program.functions.size() > 1) {
    // How the framework numbers the procedures of a program with several functions is not known;
    // given only one, there is only number 0.
    mil::Program single{.version = program.version,
                        .attributes = program.attributes,
                        .functions = {function},
                        .source_name = program.source_name};
    interface.model.text = mil::print(single);
  }
  return interface;
}

}  // namespace pyane::ane
