#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "pyane/chip/ranges.h"
#include "pyane/chip/rules.h"

// Patterns on which the compiler stumbles, though each operation by itself is fine.

namespace pyane::chip {
namespace {

bool is_reduction(const OpView* op) { return op != nullptr && op->type().starts_with("reduce_"); }

bool is_activation(std::string_view op) {
  static const std::set<std::string_view> kActivations = {
      "elu",   "erf",         "exp",     "gelu", "leaky_relu", "relu",
      "relu6", "scaled_tanh", "sigmoid", "silu", "softplus",   "softsign",
      "sqrt",  "rsqrt",       "tanh",    "log",  "clip",       "thresholded_relu"};
  return kActivations.contains(op);
}

void check_build_info(const RuleContext& context, Report& report) {
  const auto& attributes = context.program.attributes;
  const bool has_it =
      std::any_of(attributes.begin(), attributes.end(),
                  [](const mil::Attribute& attribute) { return attribute.name == "buildInfo"; });
  if (has_it) return;
  report.add({.place = {.location = {.line = 1, .column = 1}, .operation = {}, .value = {}},
              .message = "the program must have the attribute buildInfo"});
}

void check_concat(const RuleContext& context, Report& report) {
  const auto& quirk = context.chip.quirks.refuses_concat;
  const auto found = context.function.operations_of({"concat"});
  if (found.empty() || !is_contested(quirk)) return;
  report.add({.place = Place::of(*found.front()),
              .message = "concat was refused to some on this generation" + and_more(found.size()),
              .is_contested = true,
              .evidence = evidence_of(quirk)});
}

void check_concat_of_one(const RuleContext& context, Report& report) {
  for (const OpView* op : context.function.operations_of({"concat"})) {
    const auto n_values = std::count(op->names.begin(), op->names.end(), "values");
    if (n_values > 1) continue;
    report.add(
        {.place = Place::of(*op),
         .message = "concat must have two operands or more, got " + std::to_string(n_values)});
  }
}

void check_gelu(const RuleContext& context, Report& report) {
  for (const OpView* op : context.function.operations_of({"gelu"})) {
    if (op->input("mode") != nullptr) continue;
    report.add(
        {.place = Place::of(*op), .message = "gelu should say its mode", .is_contested = true});
  }
}

// The reduction that a value comes from, through element moves and constants added or multiplied.
bool comes_from_reduction(const FunctionView& function, const InputView& input) {
  const OpView* op = function.origin_of(input);
  for (int steps = 0; op != nullptr && steps < 8; ++steps) {
    if (is_reduction(op)) return true;
    const bool is_affine = op->type() == "add" || op->type() == "mul" || op->type() == "real_div" ||
                           op->type() == "maximum";
    const InputView* x = op->input("x");
    const InputView* y = op->input("y");
    if (!is_affine || x == nullptr || y == nullptr) return false;
    if (function.is_constant(*y)) {
      op = function.origin_of(*x);
    } else if (function.is_constant(*x)) {
      op = function.origin_of(*y);
    } else {
      return false;
    }
  }
  return false;
}

void check_root_after_reduction(const RuleContext& context, Report& report) {
  if (context.chip.generation != 4) return;
  for (const OpView* op : context.function.operations_of({"sqrt", "rsqrt"})) {
    const InputView* x = op->input("x");
    if (x == nullptr || !comes_from_reduction(context.function, *x)) continue;
    report.add({.place = Place::of(*op),
                .message = std::string(op->type()) +
                           " of a reduction: rustane (M4 Max) saw it refused, others compile it",
                .is_contested = true});
  }
}

void check_tile(const RuleContext& context, Report& report) {
  const auto& quirk = context.chip.quirks.tile_poisons_process;
  for (const OpView* op : context.function.operations_of({"tile"})) {
    report.add({.place = Place::of(*op),
                .message = quirk.value ? "after evaluating a program with tile, every evaluate of "
                                         "the process may fail with status 0x1d"
                                       : "tile made a process unusable on M3 Max; nobody reports "
                                         "it of this chip",
                .severity = quirk.value ? Severity::kRefusedAtEvaluate : Severity::kAdvice,
                .is_contested = true,
                .evidence = evidence_of(quirk)});
    return;  // Once: it is the program that is affected.
  }
}

void check_wide_square(const RuleContext& context, Report& report) {
  const auto& quirk = context.chip.quirks.refuses_wide_square;
  for (const OpView* op : context.function.operations_of({"square"})) {
    const ValueView& result = context.function.result(*op);
    if (result.dims().empty() || result.dims().back() % 128 <= 64) continue;
    const bool feeds = std::any_of(result.consumers.begin(), result.consumers.end(), [&](int i) {
      return is_activation(context.function.operations()[static_cast<std::size_t>(i)].type());
    });
    if (!feeds) continue;
    report.add({.place = Place::of(*op),
                .message = "square before an activation, with a width of " +
                           std::to_string(result.dims().back()) + " (beyond 64 modulo 128)",
                .is_contested = !quirk.value,
                .evidence = evidence_of(quirk)});
  }
}

void check_output_is_input(const RuleContext& context, Report& report) {
  for (const ValueView& value : context.function.values()) {
    if (!value.is_parameter || !value.is_output) continue;
    report.add({.place = Place::of(value),
                .message = "'" + std::string(value.name) + "' is returned as it came"});
  }
}

bool is_zero(const FunctionView& function, const InputView& input) {
  if (!function.is_constant(input)) return false;
  const Range range = function.range(input);
  return range.low == 0 && range.high == 0;
}

void check_zero_after_reduction(const RuleContext& context, Report& report) {
  const auto& quirk = context.chip.quirks.refuses_zero_after_reduce;
  if (!quirk.value) return;
  for (const OpView* op : context.function.operations_of({"mul"})) {
    const InputView* x = op->input("x");
    const InputView* y = op->input("y");
    if (x == nullptr || y == nullptr) continue;
    const FunctionView& f = context.function;
    if ((is_zero(f, *y) && is_reduction(f.origin_of(*x))) ||
        (is_zero(f, *x) && is_reduction(f.origin_of(*y)))) {
      report.add({.place = Place::of(*op),
                  .message = "a reduction multiplied by 0",
                  .evidence = evidence_of(quirk)});
    }
  }
}

void check_affine_layer_norm(const RuleContext& context, Report& report) {
  const auto& quirk = context.chip.quirks.refuses_affine_layer_norm;
  if (!quirk.value) return;
  std::vector<const OpView*> found;
  for (const OpView* op : context.function.operations_of({"layer_norm"})) {
    if (op->input("gamma") != nullptr || op->input("beta") != nullptr) found.push_back(op);
  }
  if (found.empty()) return;
  report.add({.place = Place::of(*found.front()),
              .message = "layer_norm with gamma or beta was refused to some on M1 and M2; "
                         "others compile it" +
                         and_more(found.size()),
              .is_contested = true,
              .evidence = evidence_of(quirk)});
}

void check_function_count(const RuleContext& context, Report& report) {
  const auto& limit = context.chip.limits.max_loaded_programs;
  const std::size_t count = context.program.functions.size();
  if (static_cast<std::int64_t>(count) <= limit.value) return;
  report.add({.place = Place::of(context.program.functions.back()),
              .message = "a process can hold about " + std::to_string(limit.value) +
                         " loaded functions, and compile about " +
                         std::to_string(context.chip.limits.max_compiles.value) + "; here are " +
                         std::to_string(count),
              .is_contested = is_contested(limit),
              .evidence = evidence_of(limit)});
}

// Branches of one consumer that compute something from run-time values.
std::size_t fan_in(const FunctionView& function, const OpView& op) {
  std::set<int> branches;
  for (const InputView& input : op.inputs) {
    if (function.producer_of(input) != nullptr && !function.is_constant(input)) {
      branches.insert(input.value);
    }
  }
  return branches.size();
}

void check_fan_in(const RuleContext& context, Report& report) {
  constexpr std::size_t kManyBranches = 12;
  if (context.chip.generation != 1) return;
  for (const OpView& op : context.function.operations()) {
    if (op.inputs.size() < kManyBranches) continue;
    const std::size_t branches = fan_in(context.function, op);
    if (branches < kManyBranches) continue;
    report.add({.place = Place::of(op),
                .message = std::to_string(branches) + " branches meet in one " +
                           std::string(op.type()) + ": compiling may take 9 s more"});
  }
}

}  // namespace

std::vector<Rule> compiler_rules() {
  return {
      {.id = "ANE050",
       .name = "no-build-info",
       .title = "A program without buildInfo",
       .severity = Severity::kRefusedAtCompile,
       .why = "The framework's parser wants the attribute; what it says does not matter.",
       .instead =
           "Begin with program(1.3) [buildInfo = dict<string, string>({{\"coremlc-version\", "
           "\"3505.4.1\"}})].",
       .evidence = "ANE field guide, on M3 Max.",
       .engine_text = "InvalidMILProgram",
       .check_program = check_build_info},
      {.id = "ANE051",
       .name = "concat",
       .title = "concat, which some found refused",
       .severity = Severity::kRefusedAtCompile,
       .why = "Orion (M4 Max), imperatormk (M1) and rustane (M3 Ultra, along the width) report "
              "refusals; maderix/ANE, ANEForge and 751K-ANE use it, and Apple's tables have it.",
       .instead = "If it fails for you: return the parts as outputs, or add products with "
                  "shifted identity matrices.",
       .evidence = "Orion constraint 1; imperatormk; rustane issue 9; ane-guide app.A.",
       .engine_text = "InvalidMILProgram",
       .check_function = check_concat},
      {.id = "ANE052",
       .name = "gelu-without-mode",
       .title = "gelu without its mode",
       .severity = Severity::kRefusedAtCompile,
       .why = "Orion found gelu invalid on M4; others, who write the mode, do not. The mode may "
              "be what was missing.",
       .instead = "Write mode = \"EXACT\" (or TANH_APPROXIMATION, SIGMOID_APPROXIMATION).",
       .evidence = "Orion constraint 10; ANEForge 0.4.0's sweep; 751K-ANE.",
       .engine_text = "InvalidMILProgram",
       .check_function = check_gelu},
      {.id = "ANE053",
       .name = "root-after-reduction",
       .title = "sqrt or rsqrt of a reduction",
       .severity = Severity::kRefusedAtCompile,
       .why =
           "rustane's compiler on M4 Max refused rsqrt and sqrt after a reduction, and took pow.",
       .instead = "Write pow(x, -0.5) or pow(x, 0.5).",
       .evidence = "rustane README, on M4 Max; programs of Core ML do otherwise.",
       .engine_text = {},
       .check_function = check_root_after_reduction},
      {.id = "ANE054",
       .name = "tile",
       .title = "tile, which poisoned a process",
       .severity = Severity::kRefusedAtEvaluate,
       .why = "On one M3 Max every evaluate after a program with tile failed with status 0x1d "
              "until the process ended, also of programs without tile.",
       .instead = "Broadcast in the consuming operation, or concatenate.",
       .evidence = "ANE field guide and its tests, on M3 Max; nobody else saw it.",
       .engine_text = "status=0x1d",
       .check_function = check_tile},
      {.id = "ANE055",
       .name = "wide-square",
       .title = "square before an activation",
       .severity = Severity::kRefusedAtCompile,
       .why = "The fused operation fails to compile when width modulo 128 is beyond 64.",
       .instead = "Write mul(x, x).",
       .evidence = "ANEForge 0.4.0, measured on M5 Pro; not known of other chips.",
       .engine_text = "ANECCompile() FAILED",
       .check_function = check_wide_square},
      {.id = "ANE056",
       .name = "output-is-input",
       .title = "A parameter that is returned as it came",
       .severity = Severity::kRefusedAtCompile,
       .why = "The compiler crashes on a result that nothing computes.",
       .instead = "Multiply by 1, or leave the output away.",
       .evidence = "ane-guide ch.4 on M1 Max; ANEForge 0.4.0 on M5 Pro.",
       .engine_text = "unordered_map::at: key not found",
       .check_function = check_output_is_input},
      {.id = "ANE057",
       .name = "zero-after-reduction",
       .title = "A reduction multiplied by zero",
       .severity = Severity::kRefusedAtCompile,
       .why = "Apple's optimiser crashes on it.",
       .instead = "Write sub(x, x).",
       .evidence = "ANEForge 0.4.0, measured on M5 Pro.",
       .engine_text = "ANECCompile() FAILED",
       .check_function = check_zero_after_reduction},
      {.id = "ANE058",
       .name = "affine-layer-norm",
       .title = "layer_norm with gamma or beta",
       .severity = Severity::kRefusedAtCompile,
       .why = "mil-hwx-compiler's harness found every affine form refused on M1; ANEForge found "
              "failures on M2 Pro that depend on the values; models of Core ML use it freely.",
       .instead = "Multiply and add after a plain layer_norm.",
       .evidence = "mil-hwx-compiler README; ANEForge issue 149.",
       .engine_text = "ANECCompile() FAILED",
       .check_function = check_affine_layer_norm},
      {.id = "ANE059",
       .name = "too-many-functions",
       .title = "More functions than a process can load",
       .severity = Severity::kRefusedAtEvaluate,
       .why = "A client of the engine's daemon has about 128 slots for loaded programs and about "
              "119 compilations; every function takes one.",
       .instead = "Give weights as inputs so that layers share a function, and unload what is not "
                  "needed.",
       .evidence = "ane-guide ch.14; maderix/ANE; Orion constraint 5; the field guide loaded 226.",
       .engine_text = "GetANEFModel: must re-compile",
       .check_program = check_function_count},
      {.id = "ANE060",
       .name = "wide-fan-in",
       .title = "A dozen branches that meet in one operation",
       .severity = Severity::kSlow,
       .why = "The compiler of M1 searches cuts of the graph; the search grows exponentially up "
              "to a budget of about 9 s for each such place.",
       .instead = "Combine the branches in pairs.",
       .evidence = "ane-guide ch.19, measured on M1 Max.",
       .engine_text = {},
       .check_function = check_fan_in},
      {.id = "ANE063",
       .name = "concat-of-one",
       .title = "concat of a single operand",
       .severity = Severity::kRefusedAtCompile,
       .why = "The validator wants two operands. Core ML's passes drop such a concat before.",
       .instead = "Leave it away.",
       .evidence = "ane-guide app.A: a text in Apple's compiler.",
       .engine_text = "Concat layer must have at least 2 inputs",
       .check_function = check_concat_of_one},
  };
}

}  // namespace pyane::chip
