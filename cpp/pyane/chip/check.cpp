#include "pyane/chip/check.h"

#include <algorithm>
#include <array>
#include <memory>
#include <tuple>

#include "pyane/base/error.h"
#include "pyane/chip/rules.h"
#include "pyane/mil/parser.h"
#include "pyane/mil/source.h"
#include "pyane/mil/suggest.h"
#include "pyane/mil/verifier.h"

namespace pyane::chip {
namespace {

std::vector<const mil::Function*> chosen_functions(const mil::Program& program,
                                                   const std::string& name) {
  std::vector<const mil::Function*> functions;
  std::vector<std::string_view> names;
  for (const mil::Function& function : program.functions) {
    if (name.empty() || function.name == name) functions.push_back(&function);
    names.push_back(function.name);
  }
  if (functions.empty() && !name.empty()) {
    throw ConfigError(program.source_name + ": has no function " + mil::quoted(name) +
                      mil::suggestion(name, names));
  }
  return functions;
}

// What pyane cannot verify, because it has no record of an operation, can be linted all the same:
// the rules go by declared types.
void verify_known(const mil::Program& program, const mil::Function& function) {
  try {
    mil::verify(program, function, nullptr);
  } catch (const UnsupportedOpError&) {
  }
}

}  // namespace

std::vector<Diagnostic> check(const mil::Model& model, std::span<const Profile* const> chips,
                              const CheckOptions& options) {
  const mil::Program program = mil::parse(model.text, model.source_name);
  const std::vector<const mil::Function*> functions = chosen_functions(program, options.function);
  std::vector<std::unique_ptr<const FunctionView>> views;
  for (const mil::Function* function : functions) {
    verify_known(program, *function);
    views.push_back(std::make_unique<const FunctionView>(*function, model.weights));
  }
  std::vector<Diagnostic> found;
  for (const Profile* chip : chips) {
    for (std::size_t i = 0; i < views.size(); ++i) {
      const RuleContext context{
          .program = program, .weights = model.weights, .function = *views[i], .chip = *chip};
      for (const Rule& rule : all_rules()) {
        Report report(rule, context, found);
        if (rule.check_program != nullptr && i == 0) rule.check_program(context, report);
        if (rule.check_function != nullptr) rule.check_function(context, report);
      }
    }
  }
  // Stable: findings of one place stay in the order of chips, then of rules.
  std::stable_sort(found.begin(), found.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return std::tuple(a.line, a.column) < std::tuple(b.line, b.column);
  });
  return found;
}

std::vector<Diagnostic> check(const mil::Model& model, const Profile& chip,
                              const CheckOptions& options) {
  const std::array<const Profile*, 1> one = {&chip};
  return check(model, one, options);
}

}  // namespace pyane::chip
