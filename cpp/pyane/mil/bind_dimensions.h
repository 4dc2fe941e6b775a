#pragma once

#include <map>
#include <string>

#include "pyane/mil/program.h"
#include "pyane/mil/verifier.h"

namespace pyane::mil {

/// `program` with the unknown dimensions of one function's parameters given, and with the types of
/// all its values worked out again from them. What stays unknown after that stays `?`. The
/// function's FlexibleShapeInformation goes when no parameter has an unknown dimension any more.
///
/// @param function  Name of the function; empty: the only one, or "main".
/// @param shapes  By parameter; parameters that are not named keep their type. Of a state, the
///     shape of the tensor that it holds.
/// @param weights, evaluate  As for `verify`.
/// @throws ShapeError  no such parameter, another rank, or a dimension that the program fixes.
/// @throws CompileError  no such function.
/// @throws MilVerifyError  the program does not take these dimensions.
Program bind_dimensions(const Program& program, const std::string& function,
                        const std::map<std::string, Shape>& shapes,
                        const WeightFiles* weights = nullptr,
                        const EvaluateConstant& evaluate = {});

}  // namespace pyane::mil
