#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pyane/mil/program.h"
#include "pyane/mil/weights.h"

// Input of the targets that take a whole model: MIL text, and after a zero byte the weight file,
// which stands for every path that the text names.

namespace pyane::fuzz {

struct ModelInput {
  std::string_view text;
  std::vector<std::byte> weights;
};

inline ModelInput split_model(const std::uint8_t* data, std::size_t size) {
  const auto* const end = data + size;
  const auto* const zero = std::find(data, end, std::uint8_t{0});
  ModelInput input;
  input.text = {reinterpret_cast<const char*>(data), static_cast<std::size_t>(zero - data)};
  if (zero != end) {
    const auto* const begin = reinterpret_cast<const std::byte*>(zero + 1);
    // A copy of exactly its size: the sanitizer sees one byte too many.
    input.weights.assign(begin, reinterpret_cast<const std::byte*>(end));
  }
  return input;
}

inline void collect_paths(const mil::Literal& literal, std::set<std::string>& paths) {
  if (const auto* blob = std::get_if<mil::BlobReference>(&literal.payload)) {
    paths.insert(blob->path);
  } else if (const auto* items = std::get_if<std::vector<mil::Literal>>(&literal.payload)) {
    for (const mil::Literal& item : *items) collect_paths(item, paths);
  }
}

inline void collect_paths(const mil::Block& block, std::set<std::string>& paths) {
  for (const mil::Operation& operation : block.operations) {
    for (const mil::Argument& argument : operation.arguments) {
      for (const mil::Operand& operand : argument.operands) {
        if (!operand.is_name()) collect_paths(operand.literal(), paths);
      }
    }
    for (const mil::Attribute& attribute : operation.attributes) {
      collect_paths(attribute.value, paths);
    }
    for (const mil::Block& nested : operation.blocks) collect_paths(nested, paths);
  }
}

/// `bytes` under every path that the program names. They must outlive the result.
inline mil::WeightFiles weight_files(const mil::Program& program,
                                     std::span<const std::byte> bytes) {
  std::set<std::string> paths;
  for (const mil::Function& function : program.functions) collect_paths(function.body, paths);
  mil::WeightFiles files;
  for (const std::string& path : paths) files[path] = {.owner = nullptr, .bytes = bytes};
  return files;
}

}  // namespace pyane::fuzz
