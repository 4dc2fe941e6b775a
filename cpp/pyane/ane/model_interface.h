#pragma once

#include <string>
#include <vector>

#include "pyane/engine/device.h"

namespace pyane::ane {

/// What the framework is given, and what it will want bound.
struct ModelInterface {
  std::string function;             ///< Its name, for messages.
  mil::Model model;                 ///< Text with exactly this one function.
  std::vector<TensorSpec> inputs;   ///< Alphabetical.
  std::vector<TensorSpec> outputs;  ///< Alphabetical.
  /// One allocation size for every surface of a request (constraints 38, 39): the largest tensor
  /// with its rows padded to the engine's 64 bytes, at least kMinSurfaceBytes.
  std::size_t surface_bytes = 0;
};

/// Parses and verifies a model before Apple's compiler sees it, whose messages say little, and
/// reads off its interface. An operation that pyane has no record of is left to Apple's compiler.
///
/// @throws MilSyntaxError, MilVerifyError, BlobError
/// @throws CompileError  no such function; an input or output that no surface can hold.
ModelInterface describe_model(const mil::Model& model, const CompileOptions& options);

}  // namespace pyane::ane
