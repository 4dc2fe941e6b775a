#include "pyane/chip/check.h"

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
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
  // Findings of one place stay in the order of chips, then of rules. Not std::stable_sort:
  // libstdc++ 12's uses a function that clang reports as deprecated.
  std::vector<std::size_t> order(found.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::tuple(found[a].line, found[a].column, a) <
           std::tuple(found[b].line, found[b].column, b);
  });
  std::vector<Diagnostic> sorted;
  sorted.reserve(found.size());
  for (const std::size_t i : order) sorted.push_back(std::move(found[i]));
  return sorted;
}

std::vector<Diagnostic> check(const mil::Model& model, const Profile& chip,
                              const CheckOptions& options) {
  const std::array<const Profile*, 1> one = {&chip};
  return check(model, one, options);
}

}  // namespace pyane::chip
