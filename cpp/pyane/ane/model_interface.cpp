#include "pyane/ane/model_interface.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "pyane/base/error.h"
#include "pyane/engine/binding.h"
#include "pyane/mil/parser.h"
#include "pyane/mil/printer.h"
#include "pyane/mil/program.h"
#include "pyane/mil/verifier.h"

namespace pyane::ane {
namespace {

constexpr std::size_t kRowAlignment = 64;  // bytes; RowStride in modelAttributes
// Above any engine's own limit; keeps sizes from wrapping around when rows are padded.
constexpr std::int64_t kMaxTensorBytes = std::int64_t{1} << 40;

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

TensorSpec to_spec(std::string_view source_name, const std::string& name, const mil::Type& type) {
  const std::string where = std::string(source_name) + ": a surface cannot hold '" + name +
                            "' of type " + mil::to_string(type);
  if (!type.is_tensor() || dtype_info(type.dtype).bits < 8) {
    throw CompileError(where + ": tensors of numbers and bools only");
  }
  const std::optional<std::int64_t> count = element_count(type.dims);
  if (!count) throw CompileError(where + ": every dimension must be known at compile time");
  if (*count < 1) throw CompileError(where + ": it is empty");
  if (*count > kMaxTensorBytes / static_cast<std::int64_t>(dtype_size(type.dtype))) {
    throw CompileError(where + ": it is too large");
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
  return n_rows * padded_row;
}

void sort_by_name(std::vector<TensorSpec>& specs) {
  std::ranges::sort(specs, {}, &TensorSpec::name);
}

}  // namespace

ModelInterface describe_model(const mil::Model& model, const CompileOptions& options) {
  const mil::Program program = mil::parse(model.text, model.source_name);
  const mil::Function& function = choose_function(program, options.function);
  try {
    static_cast<void>(mil::verify(program, function, &model.weights, {}, options.warn));
  } catch (const UnsupportedOpError&) {
    // MIL that Apple's compiler may know and pyane does not. The interface is declared in the text.
  }

  ModelInterface interface;
  interface.function = function.name;
  interface.model = model;
  for (const mil::Value& parameter : function.parameters) {
    interface.inputs.push_back(to_spec(model.source_name, parameter.name, parameter.type));
  }
  for (const mil::Operand& output : function.body.outputs) {
    const mil::Type* type = output.is_name() ? find_type(function, output.name()) : nullptr;
    if (type == nullptr) {
      throw MilVerifyError(model.source_name + ": function '" + function.name +
                               "' returns something it does not define",
                           "", output.location.line, output.location.column);
    }
    interface.outputs.push_back(to_spec(model.source_name, output.name(), *type));
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
