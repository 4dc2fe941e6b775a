#pragma once

#include "pyane/mil/program.h"
#include "pyane/mil/proto/message.h"
#include "pyane/mil/proto/model_spec.h"

// The parts of read_model_spec, a file each.

namespace pyane::mil::proto {

/// The text's version that Apple's compiler writes; protobuf has a counter of its own.
inline constexpr char kTextVersion[] = "1.3";

Type read_type(Message message);        ///< MILSpec.ValueType
Literal read_value(Message message);    ///< MILSpec.Value
Program read_program(Message message);  ///< MILSpec.Program

/// ModelDescription: interfaces and the default function.
void read_description(Message message, ModelSpec& spec);

/// The attribute FlexibleShapeInformation, if some input's shape is open.
std::optional<Attribute> flexible_shape_information(const std::vector<Feature>& inputs);

}  // namespace pyane::mil::proto
