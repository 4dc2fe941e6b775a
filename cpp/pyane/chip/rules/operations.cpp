#include <map>
#include <string>
#include <vector>

#include "pyane/chip/native_ops.h"
#include "pyane/chip/rules.h"

// Operations that a chip does not run.

namespace pyane::chip {
namespace {

std::string with_note(std::string message, const NativeOp& op) {
  if (!op.note.empty()) message += ": " + std::string(op.note);
  return message;
}

// One finding for each operation for which `pick` is true.
template <class Pick, class Say>
void each_operation(const RuleContext& context, Report& report, Pick pick, Say say) {
  for (const OpView& op : context.function.operations()) {
    const NativeOp* known = find_native_op(op.type());
    if (known == nullptr || !pick(*known)) continue;
    report.add({.place = Place::of(op),
                .message = say(*known),
                .is_contested = known->on(context.chip) == Support::kContested,
                .evidence = std::string(known->source),
                .engine_text = std::string(known->engine_text)});
  }
}

void check_refused(const RuleContext& context, Report& report) {
  each_operation(
      context, report,
      [&](const NativeOp& op) {
        return op.on(context.chip) == Support::kRefused && op.needs_generation() == 0;
      },
      [&](const NativeOp& op) {
        return with_note(std::string(op.op) + " does not run on the engine", op);
      });
}

void check_newer(const RuleContext& context, Report& report) {
  each_operation(
      context, report,
      [&](const NativeOp& op) {
        return op.on(context.chip) == Support::kRefused && op.needs_generation() > 0;
      },
      [&](const NativeOp& op) {
        return with_note(std::string(op.op) + " needs an M" +
                             std::to_string(op.needs_generation()) + " or newer",
                         op);
      });
}

// One finding for each type of operation: more would say the same again. Where tables grant an
// operation to this chip, but a sweep of a newer one could not compile it, that is worth a word.
void check_contested(const RuleContext& context, Report& report) {
  std::map<std::string_view, std::vector<const OpView*>> found;
  for (const OpView& op : context.function.operations()) {
    const NativeOp* known = find_native_op(op.type());
    if (known == nullptr) continue;
    const Support support = known->on(context.chip);
    const bool is_granted = support == Support::kNative || support == Support::kBridged;
    if (support == Support::kContested || (is_granted && known->is_contested_after(context.chip))) {
      found[op.type()].push_back(&op);
    }
  }
  for (const auto& [type, operations] : found) {
    const NativeOp& known = *find_native_op(type);
    const bool is_here = known.on(context.chip) == Support::kContested;
    std::string message =
        "sources disagree whether " + std::string(type) + " runs on " +
        (is_here ? "this chip" : "newer chips; of this one only Apple's tables speak") +
        and_more(operations.size());
    report.add({.place = Place::of(*operations.front()),
                .message = with_note(std::move(message), known),
                .severity = is_here ? Severity::kRefusedAtCompile : Severity::kAdvice,
                .is_contested = true,
                .evidence = std::string(known.source),
                .engine_text = std::string(known.engine_text)});
  }
}

void check_unknown(const RuleContext& context, Report& report) {
  for (const OpView& op : context.function.operations()) {
    if (find_native_op(op.type()) != nullptr) continue;
    report.add(
        {.place = Place::of(op),
         .message = "no source says whether " + std::string(op.type()) + " runs on an engine"});
  }
}

}  // namespace

std::vector<Rule> operation_rules() {
  return {
      {.id = "ANE001",
       .name = "operation-refused",
       .title = "An operation that this engine has never run",
       .severity = Severity::kRefusedAtCompile,
       .why = "The engine has no unit for it and Apple's compiler no way around: the compiler "
              "refuses a program for the engine alone, and Core ML moves the operation to CPU or "
              "GPU, which splits the program and copies its tensors.",
       .instead = "Compute it from operations that run (the message names some), or outside of the "
                  "program.",
       .evidence = "ane-guide app.A and ch.4; ANEForge 0.4.0's sweep of 166 operations on M5 Pro; "
                   "751K-ANE 3.1 on M4.",
       .engine_text = "Some ops are not supported on any of the specified backends",
       .check_function = check_refused},
      {.id = "ANE002",
       .name = "operation-needs-newer-chip",
       .title = "An operation that only newer engines run",
       .severity = Severity::kRefusedAtCompile,
       .why = "Trigonometry came with M3, the texture unit (crop_resize, resample, "
              "affine) with M2.",
       .instead = "Use a polynomial for sin and cos, and slices or a matmul for the others; or "
                  "compile for the newer chip.",
       .evidence = "ane-guide app.A, ch.4, 24, 26.",
       .engine_text = {},
       .check_function = check_newer},
      {.id = "ANE003",
       .name = "operation-contested",
       .title = "An operation of which sources disagree",
       .severity = Severity::kRefusedAtCompile,
       .why =
           "Apple's tables list the operation, but a program that consists of it alone did not "
           "compile for somebody, or the other way round. Advice where they disagree about newer "
           "chips only.",
       .instead = "Try it with `pyane doctor` or your own small program before relying on it.",
       .evidence = "ane-guide app.A against ANEForge 0.4.0's sweep on M5 Pro.",
       .engine_text = {},
       .check_function = check_contested},
      {.id = "ANE004",
       .name = "operation-unknown",
       .title = "An operation of which no source speaks",
       .severity = Severity::kAdvice,
       .why = "The table of operations comes from published sweeps; this one is in none.",
       .instead = "Try it in a program of its own.",
       .evidence = "cpp/pyane/chip/native_ops.cpp.",
       .engine_text = {},
       .check_function = check_unknown},
  };
}

}  // namespace pyane::chip
