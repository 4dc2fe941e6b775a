#include <string>

#include "pyane/chip/rules.h"

namespace pyane::chip {
namespace {

struct Convolution {
  const OpView* op;
  const InputView* x;
  const InputView* weight;
};

template <class Visit>
void each_convolution(const RuleContext& context, Visit visit) {
  for (const OpView* op : context.function.operations_of({"conv"})) {
    const InputView* x = op->input("x");
    const InputView* weight = op->input("weight");
    if (x != nullptr && weight != nullptr && weight->rank() >= 3) visit(Convolution{op, x, weight});
  }
}

std::string kernel_text(const char* axis, std::int64_t got, std::int64_t bound) {
  return std::string("Invalid conv kernel ") + axis + " = " + std::to_string(got) +
         ", It should be in [1," + std::to_string(bound) + "]";
}

void check_width(const RuleContext& context, Report& report) {
  const Limits& limits = context.chip.limits;
  each_convolution(context, [&](const Convolution& conv) {
    const std::int64_t width = conv.weight->dims().back();
    if (conv.weight->rank() > 4 || width <= limits.safe_kernel_width.value) return;
    const bool is_refused = width > limits.max_kernel_width.value;
    const auto& limit = is_refused ? limits.max_kernel_width : limits.safe_kernel_width;
    report.add({.place = Place::of(*conv.op),
                .message = "the kernel's width must be at most " + std::to_string(limit.value) +
                           (is_refused ? ""
                                       : " (sources disagree up to " +
                                             std::to_string(limits.max_kernel_width.value) + ")") +
                           ", got " + std::to_string(width),
                .is_contested = !is_refused,
                .evidence = evidence_of(limit),
                .engine_text = kernel_text("width", width, limit.value)});
  });
}

void check_height(const RuleContext& context, Report& report) {
  const Limits& limits = context.chip.limits;
  each_convolution(context, [&](const Convolution& conv) {
    if (conv.weight->rank() != 4) return;
    const std::int64_t height = conv.weight->dims()[2];
    if (height <= limits.safe_kernel_height.value) return;
    const bool is_refused = height > limits.max_kernel_height.value;
    const auto& limit = is_refused ? limits.max_kernel_height : limits.safe_kernel_height;
    report.add({.place = Place::of(*conv.op),
                .message = "the kernel's height must be at most " + std::to_string(limit.value) +
                           (is_refused ? "" : " (sources disagree)") + ", got " +
                           std::to_string(height),
                .is_contested = !is_refused,
                .evidence = evidence_of(limit),
                .engine_text = kernel_text("height", height, limit.value)});
  });
}

void check_three_dimensions(const RuleContext& context, Report& report) {
  each_convolution(context, [&](const Convolution& conv) {
    if (conv.weight->rank() != 5) return;
    const bool is_contested = context.chip.generation == 4;
    report.add({.place = Place::of(*conv.op),
                .message = std::string("a convolution over three axes") +
                           (is_contested ? "; 751K-ANE lists it as supported on M4, ane-guide ch.8 "
                                           "found no lowering"
                                         : ""),
                .is_contested = is_contested});
  });
}

void check_run_time_weight(const RuleContext& context, Report& report) {
  const auto& quirk = context.chip.quirks.runtime_conv_weight;
  each_convolution(context, [&](const Convolution& conv) {
    if (context.function.is_constant(*conv.weight)) return;
    const std::int64_t batch = conv.x->rank() > 0 ? conv.x->dims()[0] : 1;
    Finding finding{.place = Place::of(*conv.op), .message = {}, .evidence = evidence_of(quirk)};
    if (quirk.value == RuntimeConvWeight::kBatchOneOnly && batch != 1) {
      finding.severity = Severity::kRefusedAtCompile;
      finding.message =
          "the weight is computed or given at run time, which ends the compiler's "
          "process for a batch of " +
          std::to_string(batch);
      finding.engine_text = "lost helper application";
    } else {
      finding.severity = Severity::kSilentlyWrong;
      finding.is_contested =
          quirk.value != RuntimeConvWeight::kIgnored || quirk.status != Status::kMeasured;
      finding.message =
          "the weight is computed or given at run time: the field guide found it ignored (M3 Max), "
          "ane-guide used at batch 1 (M1 Max, M5 Pro), 751K-ANE supported (M4)";
    }
    report.add(std::move(finding));
  });
}

void check_input_channels(const RuleContext& context, Report& report) {
  const auto& limit = context.chip.limits.max_conv_input_channels;
  each_convolution(context, [&](const Convolution& conv) {
    if (conv.x->rank() < 3 || conv.x->dims()[1] <= limit.value) return;
    report.add({.place = Place::of(*conv.op),
                .message = "input channels must be at most " + std::to_string(limit.value) +
                           ", got " + std::to_string(conv.x->dims()[1]),
                .is_contested = is_contested(limit),
                .evidence = evidence_of(limit)});
  });
}

}  // namespace

std::vector<Rule> convolution_rules() {
  return {
      {.id = "ANE030",
       .name = "kernel-width",
       .title = "A convolution kernel that is too wide",
       .severity = Severity::kRefusedAtCompile,
       .why = "Kernels of fp16 are 13 wide at most on M1 and 15 from M4 on; for M2 and M3 sources "
              "say either. One-dimensional convolutions count as width.",
       .instead = "Split the kernel into narrower ones and add their results, or fold the window "
                  "into channels and multiply by a matrix.",
       .evidence = "ane-guide app.A, ch.12; ANEForge 0.4.0; 751K-ANE 3.3.",
       .engine_text = "Invalid conv kernel %s = %zd, It should be in [%zd,%zd]",
       .check_function = check_width},
      {.id = "ANE031",
       .name = "kernel-height",
       .title = "A convolution kernel that is too high",
       .severity = Severity::kRefusedAtCompile,
       .why = "Kernels are 29 high at most on M1, 32 later; 751K-ANE met 31 on M4.",
       .instead = "Split the kernel and add the results.",
       .evidence = "ane-guide app.A; 751K-ANE 3.3.",
       .engine_text = "Invalid conv kernel %s = %zd, It should be in [%zd,%zd]",
       .check_function = check_height},
      {.id = "ANE032",
       .name = "convolution-3d",
       .title = "A convolution over three axes",
       .severity = Severity::kRefusedAtCompile,
       .why = "A capability bit speaks of it, but no mask of backends compiles it.",
       .instead = "Sum convolutions over two axes, one for each slice of the third.",
       .evidence = "ane-guide ch.8, measured on M1 Max; against it 751K-ANE on M4.",
       .engine_text = "Some ops are not supported on any of the specified backends",
       .check_function = check_three_dimensions},
      {.id = "ANE033",
       .name = "run-time-kernel",
       .title = "A convolution whose weight is not constant",
       .severity = Severity::kRefusedAtCompile,
       .why = "What happens depends on chip and path: the compiler's process dies for batches of "
              "two or more, or the weight is silently ignored.",
       .instead = "Use a matmul (a 1x1 convolution is one; others after im2col), or bake the "
                  "weight.",
       .evidence = "ane-guide ch.19; ANE field guide; imperatormk; 751K-ANE.",
       .engine_text = "lost helper application",
       .check_function = check_run_time_weight},
      {.id = "ANE034",
       .name = "input-channels",
       .title = "A convolution of very many input channels",
       .severity = Severity::kRefusedAtCompile,
       .why = "maderix/ANE met a refusal of 32000 input channels on M4 (as many output channels "
              "compile); ane-guide found 65536 channels on M1 Max.",
       .instead = "Split the input channels and add the results.",
       .evidence = "maderix/ANE's classifier; ane-guide ch.17.",
       .engine_text = {},
       .check_function = check_input_channels},
  };
}

}  // namespace pyane::chip
