#pragma once

#include <span>
#include <string>
#include <vector>

#include "pyane/chip/diagnostic.h"
#include "pyane/chip/profile.h"
#include "pyane/mil/weights.h"

namespace pyane::chip {

struct CheckOptions {
  std::string function;  ///< Empty: all functions of the program.
};

/// What each chip would make of a model: parsed and verified once, then every rule for every chip.
/// Weight files may be missing; rules about their contents then say nothing. Linear in the size of
/// text and weights.
///
/// @return Sorted by place, then chip in the order given, then rule.
/// @throws MilSyntaxError, MilVerifyError  for a program that no chip would take.
/// @throws ConfigError  for a function that the program does not have.
std::vector<Diagnostic> check(const mil::Model& model, std::span<const Profile* const> chips,
                              const CheckOptions& options = {});
std::vector<Diagnostic> check(const mil::Model& model, const Profile& chip,
                              const CheckOptions& options = {});

}  // namespace pyane::chip
