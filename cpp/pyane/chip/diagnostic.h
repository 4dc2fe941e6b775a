#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pyane/base/shape.h"

// What the linter says of a program. See rules.h for the rules and check.h for running them.

namespace pyane::chip {

/// What would happen, worst first.
enum class Severity : std::uint8_t {
  kRefusedAtCompile,   ///< The engine's compiler, or its loader, says no.
  kRefusedAtEvaluate,  ///< Compiles; evaluating fails.
  kSilentlyWrong,      ///< Runs; numbers are wrong, perhaps only for some inputs.
  kSlow,
  kAdvice,
};
/// "refused-at-compile", ...
using pyane::to_string;  // Shapes; the declarations below would hide it.

std::string_view to_string(Severity severity);

/// One finding. Views point into the tables of rules and profiles, which live forever.
struct Diagnostic {
  std::string_view rule;  ///< "ANE034"; never given to another rule.
  std::string_view name;  ///< "width-slice-saturates"
  Severity severity = Severity::kAdvice;
  /// Sources disagree, or only one saw it and others had no such trouble: a warning. The message
  /// or the evidence names the disagreement.
  bool is_contested = false;
  std::string_view chip;  ///< Profile::name
  std::string message;    ///< What is wrong here, with the values.
  std::string_view why;
  std::string_view instead;  ///< What to write.
  std::string evidence;      ///< Sources, and how the chip's value is known.
  std::string source_name;
  std::string function;
  int line = 0;  ///< From 1; 0 for a program that was not parsed, or a finding about all of it.
  int column = 0;
  std::string operation;    ///< Type of the MIL operation; empty when it is not about one.
  std::string value;        ///< Name of the value; empty likewise.
  std::string engine_text;  ///< The engine's own words of refusal, where known.
};

/// "model.mil:14:22: m1: refused-at-compile: tile is ... [ANE025 tile]"
std::string to_string(const Diagnostic& diagnostic);

}  // namespace pyane::chip
