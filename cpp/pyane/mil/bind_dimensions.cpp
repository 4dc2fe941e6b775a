#include "pyane/mil/bind_dimensions.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/mil/suggest.h"

namespace pyane::mil {
namespace {

Type& tensor_of(Value& parameter) {
  const bool is_state = parameter.type.kind == Type::Kind::kState;
  return is_state && !parameter.type.elements.empty() ? parameter.type.elements.front()
                                                      : parameter.type;
}

bool has_unknown(const Type& type) {
  return std::find(type.dims.begin(), type.dims.end(), kUnknownDim) != type.dims.end() ||
         std::any_of(type.elements.begin(), type.elements.end(), has_unknown);
}

void set_shape(Value& parameter, const Shape& shape) {
  Type& type = tensor_of(parameter);
  bool fits = shape.size() == type.dims.size();
  for (std::size_t i = 0; fits && i < shape.size(); ++i) {
    fits = shape[i] >= 1 && (type.dims[i] == kUnknownDim || type.dims[i] == shape[i]);
  }
  if (!fits) {
    std::string given;
    for (const std::int64_t dim : shape) given += (given.empty() ? "" : ", ") + std::to_string(dim);
    throw ShapeError("'" + parameter.name + "' of type " + to_string(parameter.type) +
                     " cannot have shape [" + given + "]");
  }
  type.dims = shape;
}

void write_types(std::vector<Operation>& operations, const std::vector<VerifiedOperation>& verified,
                 const VerifiedFunction& function) {
  const auto set = [&](Value& declared, ValueId id) {
    const Type& type = function.values[static_cast<std::size_t>(id)].type;
    declared.type.dims = type.dims;
    declared.type.elements = type.elements;
    declared.type.length = type.length;
  };
  std::size_t next = 0;
  for (Operation& operation : operations) {
    if (operation.type == "const") continue;
    const VerifiedOperation& known = verified[next++];
    for (std::size_t i = 0; i < known.outputs.size(); ++i) {
      set(operation.outputs[i], known.outputs[i]);
    }
    for (std::size_t b = 0; b < known.blocks.size(); ++b) {
      for (std::size_t i = 0; i < known.blocks[b].parameters.size(); ++i) {
        set(operation.blocks[b].parameters[i], known.blocks[b].parameters[i]);
      }
      write_types(operation.blocks[b].operations, known.blocks[b].operations, function);
    }
  }
}

}  // namespace

Program bind_dimensions(const Program& program, const std::string& function,
                        const std::map<std::string, Shape>& shapes, const WeightFiles* weights,
                        const EvaluateConstant& evaluate) {
  Program bound = program;
  const Function& chosen = choose_function(bound, function);
  Function& target = bound.functions[static_cast<std::size_t>(&chosen - bound.functions.data())];
  for (const auto& [name, shape] : shapes) {
    const auto found = std::find_if(target.parameters.begin(), target.parameters.end(),
                                    [&](const Value& value) { return value.name == name; });
    if (found == target.parameters.end()) {
      std::vector<std::string_view> names;
      for (const Value& parameter : target.parameters) names.push_back(parameter.name);
      throw ShapeError("function '" + target.name + "' has no parameter '" + name + "'" +
                       suggestion(name, names));
    }
    set_shape(*found, shape);
  }
  const bool is_flexible =
      std::any_of(target.parameters.begin(), target.parameters.end(),
                  [](const Value& parameter) { return has_unknown(parameter.type); });
  if (!is_flexible) {
    std::erase_if(target.attributes, [](const Attribute& attribute) {
      return attribute.name == "FlexibleShapeInformation";
    });
  }
  const VerifiedFunction verified = verify(bound, target, weights, evaluate);
  write_types(target.body.operations, verified.operations, verified);
  return bound;
}

}  // namespace pyane::mil
