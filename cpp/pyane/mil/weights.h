#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "pyane/mil/program.h"

namespace pyane::mil {

/// Receives warnings of whoever reads weight files. The core never prints.
using WarningSink = std::function<void(const std::string&)>;

/// Bytes that stay valid while `owner` lives: a mapped file, a Python buffer, a vector.
struct SharedBytes {
  std::shared_ptr<const void> owner;
  std::span<const std::byte> bytes;
};

/// Weight files of a model by the path used in its text ("@model_path/weights/weight.bin").
using WeightFiles = std::map<std::string, SharedBytes>;

/// MIL text plus its weight files: what Apple's in-memory descriptor takes.
struct Model {
  std::string text;
  WeightFiles weights;
  std::string source_name = "<text>";  ///< For messages.
};

/// A value known before evaluation. `data` is row-major, laid out as TensorBytes is (sub-byte
/// integers unpacked) and aligned for its elements; `type` has no unknown dimension. Empty (with
/// `is_missing`) for a weight whose file was not given, so that types can be checked without it.
struct Constant {
  Type type;
  std::shared_ptr<const void> owner;
  std::span<const std::byte> data;
  std::vector<std::string> strings;  ///< Tensors of strings.
  bool is_missing = false;
};

/// Reads `literal`, taking blob references from `files`.
///
/// @param files  nullptr: blob references give a constant with `is_missing`.
/// @param warn  Told of wrong fields in weight files that could be done without.
/// @throws BlobError  a path not in `files`, or a record that does not hold the declared tensor.
/// @throws MilVerifyError  a list, tuple or dict.
Constant to_constant(const Literal& literal, const WeightFiles* files,
                     const WarningSink& warn = {});

}  // namespace pyane::mil
