#include <string>
#include <vector>

#include "pyane/chip/rules.h"

// Element types: the engine computes in fp16.

namespace pyane::chip {
namespace {

bool is_wide_integer(DType dtype) { return is_integer(dtype) && dtype_info(dtype).bits > 8; }

// Types that a program can take and return besides fp16.
bool is_io_type(DType dtype) {
  return dtype == DType::kFp16 || dtype == DType::kFp32 || dtype == DType::kUint8 ||
         dtype == DType::kInt8;
}

void check_io(const RuleContext& context, Report& report) {
  for (const ValueView& value : context.function.values()) {
    if (!is_run_time_tensor(value) || is_io_type(value.type->dtype)) continue;
    const std::string dtype(dtype_name(value.type->dtype));
    if (value.is_parameter) {
      report.add({.place = Place::of(value),
                  .message = "parameter " + describe(value) + " must be fp16 or uint8",
                  .engine_text = "dtype must be 'fp16' or 'uint8'"});
    } else if (value.is_output) {
      const bool is_integer_output = is_wide_integer(value.type->dtype);
      report.add({.place = Place::of(value),
                  .message = "output " + describe(value) + " must be fp16" +
                             (is_integer_output
                                  ? "; ane-guide ch.8 lists integers among the output types, "
                                    "751K-ANE saw int32 refused"
                                  : ""),
                  .is_contested = is_integer_output,
                  .engine_text = "Unsupported function output dtype " + dtype});
    }
  }
}

void check_fp32_io(const RuleContext& context, Report& report) {
  const auto& quirk = context.chip.quirks.refuses_fp32_io;
  if (!quirk.value) return;
  std::vector<const ValueView*> found;
  for (const ValueView& value : context.function.values()) {
    if (is_run_time_tensor(value) && value.type->dtype == DType::kFp32 && value.is_parameter) {
      found.push_back(&value);
    }
  }
  if (found.empty()) return;
  report.add({.place = Place::of(*found.front()),
              .message = "parameter " + describe(*found.front()) + " must be fp16" +
                         and_more(found.size()),
              .evidence = evidence_of(quirk)});
}

void check_float_compute(const RuleContext& context, Report& report) {
  std::vector<const OpView*> found;
  for (const OpView& op : context.function.operations()) {
    if (op.type() == "cast" || op.outputs.empty()) continue;
    const ValueView& result = context.function.result(op);
    if (!is_run_time_tensor(result) || !is_float(result.type->dtype)) continue;
    const DType dtype = result.type->dtype;
    if (dtype == DType::kFp32 || dtype == DType::kFp64 || dtype == DType::kBf16) {
      found.push_back(&op);
    }
  }
  if (found.empty()) return;
  const ValueView& result = context.function.result(*found.front());
  report.add({.place = Place::of(*found.front()),
              .message = std::string(found.front()->type()) + " computes in " +
                         std::string(dtype_name(result.type->dtype)) + and_more(found.size())});
}

void check_integer_cast(const RuleContext& context, Report& report) {
  std::vector<const OpView*> found;
  std::string type;
  for (const OpView* op : context.function.operations_of({"cast"})) {
    const InputView* x = op->input("x");
    if (x == nullptr || x->type == nullptr || context.function.is_constant(*x)) continue;
    const DType from = x->type->dtype;
    const ValueView& result = context.function.result(*op);
    const DType to = result.type != nullptr ? result.type->dtype : from;
    if (!is_wide_integer(from) && !is_wide_integer(to)) continue;
    if (found.empty()) type = dtype_name(is_wide_integer(to) ? to : from);
    found.push_back(op);
  }
  if (found.empty()) return;
  report.add({.place = Place::of(*found.front()),
              .message = "casts to or from " + type + and_more(found.size()),
              .engine_text = "Unsupported tensor data type: " + type});
}

// Operations whose integers are indices that the engine makes or takes by itself.
bool handles_indices(std::string_view op) {
  return op == "cast" || op == "reduce_argmax" || op == "reduce_argmin" || op == "topk" ||
         op == "argsort" || op == "shape" || op == "non_zero" || op == "identity" ||
         op == "tensor_buffer_to_tensor" || op == "tensor_to_tensor_buffer";
}

void check_integer_compute(const RuleContext& context, Report& report) {
  std::vector<const OpView*> found;
  for (const OpView& op : context.function.operations()) {
    if (handles_indices(op.type()) || op.outputs.empty()) continue;
    const ValueView& result = context.function.result(op);
    if (is_run_time_tensor(result) && is_wide_integer(result.type->dtype)) found.push_back(&op);
  }
  if (found.empty()) return;
  const std::string type(dtype_name(context.function.result(*found.front()).type->dtype));
  report.add({.place = Place::of(*found.front()),
              .message = std::string(found.front()->type()) + " computes in " + type +
                         and_more(found.size()),
              .engine_text = "Unsupported tensor data type: " + type});
}

// uint16 and int16 indices are what coremltools makes for the engine.
void check_gather_index(const RuleContext& context, Report& report) {
  const FunctionView& function = context.function;
  std::vector<const OpView*> found;
  for (const OpView* op : function.operations_of({"gather", "gather_along_axis", "gather_nd"})) {
    const InputView* indices = op->input("indices");
    if (indices == nullptr || indices->type == nullptr || function.is_constant(*indices)) continue;
    const DType dtype = indices->type->dtype;
    if (is_integer(dtype) && dtype_info(dtype).bits > 16) found.push_back(op);
  }
  if (found.empty()) return;
  const bool is_measured = context.chip.generation == 4;
  const std::string dtype(dtype_name(found.front()->input("indices")->type->dtype));
  report.add({.place = Place::of(*found.front()),
              .message = std::string(found.front()->type()) + " takes indices of " + dtype +
                         (is_measured ? "" : ", refused on M4; of this chip it is not known") +
                         and_more(found.size()),
              .is_contested = !is_measured});
}

}  // namespace

std::vector<Rule> dtype_rules() {
  return {
      {.id = "ANE021",
       .name = "input-or-output-type",
       .title = "A parameter or result that is neither fp16 nor uint8",
       .severity = Severity::kRefusedAtCompile,
       .why = "Programs exchange fp16 (and 8-bit integers) with the outside; bf16 has no code, "
              "integers are no type of the engine's arithmetic.",
       .instead = "Take and return fp16; convert on the CPU.",
       .evidence = "ane-guide ch.4, 8, measured on M1 Max; 751K-ANE's validation messages on M4.",
       .engine_text = "dtype must be 'fp16' or 'uint8'",
       .check_function = check_io},
      {.id = "ANE022",
       .name = "fp32-parameter",
       .title = "fp32 parameters on M1 and M2",
       .severity = Severity::kRefusedAtCompile,
       .why = "The in-memory compiler of M1 and M2 refuses programs that take fp32 and cast it "
              "inside. Core ML compiles them, because it casts outside of the engine's part.",
       .instead = "Take fp16 and convert on the CPU.",
       .evidence = "maderix/ANE issue 6 and its benchmark report.",
       .engine_text = "ANECCompile() FAILED",
       .check_function = check_fp32_io},
      {.id = "ANE023",
       .name = "computes-beyond-fp16",
       .title = "Arithmetic in fp32, fp64 or bf16",
       .severity = Severity::kRefusedAtCompile,
       .why = "The datapath is fp16; a wider type in the text buys no precision and is refused by "
              "the engine's compiler. Core ML runs such operations on CPU or GPU.",
       .instead = "Cast parameters to fp16 first, results back last.",
       .evidence = "ane-guide ch.3, 8; ANEForge 0.4.0's negative tests.",
       .engine_text = "Some ops are not supported on any of the specified backends",
       .check_function = check_float_compute},
      {.id = "ANE024",
       .name = "integer-cast",
       .title = "A cast to or from 16-, 32- or 64-bit integers",
       .severity = Severity::kRefusedAtCompile,
       .why = "The engine has no such integers.",
       .instead = "Keep indices and counts on the CPU, or as fp16 (exact up to 2048).",
       .evidence = "ane-guide app.A on M1 Max; 751K-ANE's validation messages on M4.",
       .engine_text = "Unsupported tensor data type: int32",
       .check_function = check_integer_cast},
      {.id = "ANE025",
       .name = "integer-arithmetic",
       .title = "Arithmetic with 16-, 32- or 64-bit integers",
       .severity = Severity::kRefusedAtCompile,
       .why = "The engine has no such integers.",
       .instead = "Compute indices on the CPU, or in fp16 (exact up to 2048).",
       .evidence = "751K-ANE's validation messages on M4.",
       .engine_text = "Unsupported tensor data type: int32",
       .check_function = check_integer_compute},
      {.id = "ANE026",
       .name = "gather-index-type",
       .title = "gather by 32-bit indices",
       .severity = Severity::kRefusedAtCompile,
       .why = "The validator of the engine's compiler refuses wide indices that are given or "
              "computed at run time.",
       .instead = "Look up on the CPU, or multiply by one-hot rows; in Core ML's programs, 16-bit "
                  "indices.",
       .evidence = "751K-ANE's validation messages on M4.",
       .engine_text = "Unsupported gather index type",
       .check_function = check_gather_index},
  };
}

}  // namespace pyane::chip
