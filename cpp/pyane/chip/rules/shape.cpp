#include <algorithm>
#include <array>
#include <string>

#include "pyane/chip/rules.h"

// Ranks, extents, and operations that take only some shapes.

namespace pyane::chip {
namespace {

// Parameters and results of operations, each with the place to complain about.
template <class Visit>
void each_run_time_value(const FunctionView& function, Visit visit) {
  for (const ValueView& value : function.values()) {
    if (!is_run_time_tensor(value)) continue;
    const bool is_result = value.producer >= 0;
    const OpView* op =
        is_result ? &function.operations()[static_cast<std::size_t>(value.producer)] : nullptr;
    visit(value, op, op != nullptr ? Place::of(*op) : Place::of(value));
  }
}

// Whether an operand already breaks what `breaks` tells: the first breach is told, not its heirs.
template <class Breaks>
bool is_inherited(const FunctionView& function, const OpView* op, Breaks breaks) {
  if (op == nullptr) return false;
  return std::any_of(op->inputs.begin(), op->inputs.end(), [&](const InputView& input) {
    const ValueView* value = function.value_of(input);
    return value != nullptr && is_run_time_tensor(*value) && breaks(*value);
  });
}

void check_rank(const RuleContext& context, Report& report) {
  const auto& limit = context.chip.limits.max_rank;
  const auto breaks = [&](const ValueView& value) {
    return static_cast<std::int64_t>(value.dims().size()) > limit.value;
  };
  each_run_time_value(context.function, [&](const ValueView& value, const OpView* op, Place place) {
    if (!breaks(value) || is_inherited(context.function, op, breaks)) return;
    const std::string rank = std::to_string(value.dims().size());
    report.add({.place = place,
                .message = describe(value) + " must have at most " + std::to_string(limit.value) +
                           " dimensions, got " + rank,
                .evidence = evidence_of(limit),
                .engine_text = op != nullptr && op->type() == "reshape"
                                   ? "Cannot reshape a tensor of rank > 5"
                                   : "tensor rank " + rank + " exceeds the ANE maximum of 5"});
  });
}

struct Axis {
  std::size_t index = 0;
  const Fact<std::int64_t>* limit = nullptr;
};

// The first axis beyond its limit. Batch and channels may be longer than height and width; where
// it is not clear which an axis is (ranks other than 4), the longer limit is taken.
Axis long_axis(const Limits& limits, const Shape& dims) {
  for (std::size_t i = 0; i < dims.size(); ++i) {
    const std::size_t from_end = dims.size() - i;
    const Fact<std::int64_t>* limit = &limits.max_channels;
    if (from_end == 1) limit = &limits.max_width;
    if (from_end == 2 && dims.size() >= 4) limit = &limits.max_height;
    if (i == 0 && dims.size() >= 4) limit = &limits.max_batch;
    if (dims[i] > limit->value) return {i, limit};
  }
  return {};
}

void check_extent(const RuleContext& context, Report& report) {
  const Limits& limits = context.chip.limits;
  const auto breaks = [&](const ValueView& value) {
    return long_axis(limits, value.dims()).limit != nullptr;
  };
  each_run_time_value(context.function, [&](const ValueView& value, const OpView* op, Place place) {
    const Axis axis = long_axis(limits, value.dims());
    if (axis.limit == nullptr || is_inherited(context.function, op, breaks)) return;
    const std::string bound = std::to_string(axis.limit->value);
    report.add({.place = place,
                .message = describe(value) + ": axis " + std::to_string(axis.index) +
                           " must be at most " + bound + ", got " +
                           std::to_string(value.dims()[axis.index]),
                .evidence = evidence_of(*axis.limit),
                .engine_text = "exceeds ANE family " + std::to_string(context.chip.family.value) +
                               "'s max dimension " + bound});
  });
}

void check_symbolic(const RuleContext& context, Report& report) {
  for (const ValueView& value : context.function.values()) {
    if (!value.is_parameter) continue;
    if (std::find(value.dims().begin(), value.dims().end(), kUnknownDim) == value.dims().end()) {
      continue;
    }
    report.add(
        {.place = Place::of(value), .message = describe(value) + " must have known dimensions"});
  }
}

void check_state(const RuleContext& context, Report& report) {
  for (const ValueView& value : context.function.values()) {
    if (!value.is_parameter || value.type->kind != mil::Type::Kind::kState) continue;
    const bool is_measured = context.chip.generation == 1;
    report.add({.place = Place::of(value),
                .message = "parameter '" + std::string(value.name) + "' is a state" +
                           (is_measured ? ""
                                        : "; ane-guide app.A calls states native, its ch.8 and "
                                          "ANEForge could not compile them"),
                .is_contested = !is_measured});
  }
}

void check_pad_axes(const RuleContext& context, Report& report) {
  const FunctionView& function = context.function;
  for (const OpView* op : function.operations_of({"pad"})) {
    const InputView* x = op->input("x");
    const auto pad = function.integers(*op, "pad");
    if (x == nullptr || !pad || x->rank() < 4 || pad->size() / 2 > x->rank()) continue;
    // The vector pads the last dimensions, two numbers each.
    const std::size_t first = x->rank() - pad->size() / 2;
    for (std::size_t i = 0; i < pad->size(); ++i) {
      const std::size_t axis = first + i / 2;
      if (axis > 1 || (*pad)[i] == 0) continue;
      report.add({.place = Place::of(*op),
                  .message = "pads axis " + std::to_string(axis) + " of " + to_string(x->dims()) +
                             "; only the last two axes can be padded"});
      break;
    }
  }
}

void check_pad_mode(const RuleContext& context, Report& report) {
  const auto& texture = context.chip.quirks.has_texture_unit;
  if (texture.value) return;
  for (const OpView* op : context.function.operations_of({"pad"})) {
    const auto mode = context.function.string(*op, "mode");
    if (!mode || *mode == "constant") continue;
    report.add({.place = Place::of(*op),
                .message = "mode \"" + *mode +
                           "\" needs a texture unit, which this chip lacks; sources differ whether "
                           "the compiler finds a way around",
                .is_contested = true,
                .evidence = evidence_of(texture)});
  }
}

void check_resize(const RuleContext& context, Report& report) {
  const auto& texture = context.chip.quirks.has_texture_unit;
  if (texture.value) return;
  for (const OpView* op : context.function.operations_of(
           {"resize", "resize_bilinear", "resize_nearest_neighbor", "upsample_bilinear",
            "upsample_nearest_neighbor", "torch_upsample_bilinear",
            "torch_upsample_nearest_neighbor"})) {
    report.add(
        {.place = Place::of(*op),
         .message = std::string(op->type()) + " becomes a convolution here, with other roundings",
         .evidence = evidence_of(texture)});
  }
}

void check_run_time_slice(const RuleContext& context, Report& report) {
  if (context.chip.generation != 1) return;
  for (const OpView* op : context.function.operations_of({"slice_by_index", "slice_by_size"})) {
    const InputView* begin = op->input("begin");
    if (begin == nullptr || context.function.is_constant(*begin)) continue;
    report.add({.place = Place::of(*op), .message = "begin must be constant"});
  }
}

void check_arg_extent(const RuleContext& context, Report& report) {
  const auto& limit = context.chip.limits.max_arg_reduce_axis;
  for (const OpView* op : context.function.operations_of({"reduce_argmax", "reduce_argmin"})) {
    const InputView* x = op->input("x");
    if (x == nullptr || x->rank() == 0) continue;
    auto axis = context.function.integer(*op, "axis").value_or(-1);
    if (axis < 0) axis += static_cast<std::int64_t>(x->rank());
    if (axis < 0 || axis >= static_cast<std::int64_t>(x->rank())) continue;
    const std::int64_t extent = x->dims()[static_cast<std::size_t>(axis)];
    if (extent <= limit.value) continue;
    report.add({.place = Place::of(*op),
                .message = "the reduced axis must be at most " + std::to_string(limit.value) +
                           ", got " + std::to_string(extent),
                .evidence = evidence_of(limit)});
  }
}

void check_topk(const RuleContext& context, Report& report) {
  for (const OpView* op : context.function.operations_of({"topk"})) {
    const auto k = context.function.integer(*op, "k");
    if (k != 3 && k != 4) continue;
    report.add(
        {.place = Place::of(*op), .message = "k must not be 3 or 4, got " + std::to_string(*k)});
  }
}

void check_pool_window(const RuleContext& context, Report& report) {
  const auto& limit = context.chip.limits.max_pool_window;
  for (const OpView* op : context.function.operations_of({"avg_pool", "l2_pool", "max_pool"})) {
    const auto kernel = context.function.integers(*op, "kernel_sizes");
    if (!kernel || kernel->empty()) continue;
    const std::int64_t window = *std::max_element(kernel->begin(), kernel->end());
    if (window <= limit.value) continue;
    report.add({.place = Place::of(*op),
                .message = "a window of " + std::to_string(window) + " is beyond " +
                           std::to_string(limit.value) + ", where sources disagree",
                .is_contested = true,
                .evidence = evidence_of(limit)});
  }
}

// The argument that says by how much an operation repeats or regroups; empty for others.
std::string_view factor_argument(std::string_view op) {
  if (op == "tile") return "reps";
  if (op == "pixel_shuffle") return "upscale_factor";
  if (op == "pixel_unshuffle") return "downscale_factor";
  if (op == "depth_to_space" || op == "space_to_depth") return "block_size";
  if (op == "batch_to_space" || op == "space_to_batch") return "block_shape";
  return {};
}

void check_factors(const RuleContext& context, Report& report) {
  constexpr std::array<std::int64_t, 5> kFactors = {1, 2, 3, 4, 8};
  const FunctionView& function = context.function;
  for (const OpView* op :
       function.operations_of({"batch_to_space", "depth_to_space", "pixel_shuffle",
                               "pixel_unshuffle", "space_to_batch", "space_to_depth", "tile"})) {
    const std::string_view name = factor_argument(op->type());
    std::vector<std::int64_t> factors =
        function.integers(*op, name).value_or(std::vector<std::int64_t>{});
    if (const auto factor = function.integer(*op, name)) factors = {*factor};
    const auto other = std::find_if(factors.begin(), factors.end(), [&](std::int64_t factor) {
      return std::find(kFactors.begin(), kFactors.end(), factor) == kFactors.end();
    });
    if (other == factors.end()) continue;
    report.add({.place = Place::of(*op),
                .message = std::string(op->type()) + " by " + std::to_string(*other) +
                           ": Apple's table has 2, 3, 4 and 8; whether the compiler makes others "
                           "of these, nobody says",
                .is_contested = true});
  }
}

void check_transpose_of_first(const RuleContext& context, Report& report) {
  for (const OpView* op : context.function.operations_of({"transpose"})) {
    const auto perm = context.function.integers(*op, "perm");
    if (!perm || perm->size() != 5) continue;
    const std::int64_t first = perm->front() < 0 ? perm->front() + 5 : perm->front();
    if (first == 0) continue;
    report.add({.place = Place::of(*op),
                .message = "moves the first of five dimensions; Apple's table has the last four, "
                           "and nobody tried",
                .is_contested = true});
  }
}

}  // namespace

std::vector<Rule> shape_rules() {
  return {
      {.id = "ANE010",
       .name = "too-many-dimensions",
       .title = "A tensor of more than five dimensions",
       .severity = Severity::kRefusedAtCompile,
       .why = "The engine knows batch, depth, channels, height and width.",
       .instead = "Reshape to five dimensions or fewer; the data do not move.",
       .evidence = "ane-guide ch.4, measured on M1 Max and M5 Pro.",
       .engine_text = "tensor rank 6 exceeds the ANE maximum of 5",
       .check_function = check_rank},
      {.id = "ANE011",
       .name = "axis-too-long",
       .title = "An axis longer than the engine's counters",
       .severity = Severity::kRefusedAtCompile,
       .why = "Height and width count to 16384 up to M3 and to 65536 from M4 on; batch and "
              "channels to 65536.",
       .instead = "Move the long axis to the channels, or split it: a vocabulary of 32000 goes "
                  "into the output channels of a convolution.",
       .evidence = "ane-guide ch.4, 17; 751K-ANE 3.3.",
       .engine_text = "exceeds ANE family 2's max dimension 16384",
       .check_function = check_extent},
      {.id = "ANE012",
       .name = "unknown-dimension",
       .title = "A dimension that is not known when compiling",
       .severity = Severity::kRefusedAtCompile,
       .why = "`?` parses, but nothing in the engine's compiler lowers it.",
       .instead = "Compile one program for each shape, or pad to the largest.",
       .evidence = "ane-guide ch.8, 19, measured on M1 Max.",
       .engine_text =
           "Not implemented: Some ops are not supported on any of the specified backends",
       .check_function = check_symbolic},
      {.id = "ANE013",
       .name = "state",
       .title = "A state",
       .severity = Severity::kRefusedAtCompile,
       .why = "The direct path has no object that holds a state between evaluations.",
       .instead = "Give the state as an input, return it as an output, and bind both to one "
                  "surface or swap two.",
       .evidence = "ane-guide ch.8, 14, measured on M1 Max; ANEForge 0.4.0's sweep on M5 Pro.",
       .engine_text = "Circular buffer is not supported on this architecture",
       .check_function = check_state},
      {.id = "ANE014",
       .name = "pad-of-channels",
       .title = "Padding of batch or channels",
       .severity = Severity::kRefusedAtCompile,
       .why = "The engine pads while it reads rows and columns.",
       .instead = "Concatenate with zeros, or multiply by a constant matrix that adds channels.",
       .evidence = "ane-guide app.A.",
       .engine_text = "Channel padding is not supported on ANE",
       .check_function = check_pad_axes},
      {.id = "ANE015",
       .name = "pad-mode",
       .title = "Padding by reflection or replication without a texture unit",
       .severity = Severity::kRefusedAtCompile,
       .why = "Modes other than \"constant\" are the texture unit's, which came with M2.",
       .instead = "Concatenate slices, or pad on the CPU.",
       .evidence = "ane-guide app.A, ch.24.",
       .engine_text = "Architecture does not support padding mode.",
       .check_function = check_pad_mode},
      {.id = "ANE016",
       .name = "resize-by-convolution",
       .title = "Resizing without a texture unit",
       .severity = Severity::kAdvice,
       .why = "M1 has no texture unit; its compiler uses a transposed convolution, whose roundings "
              "differ in the last bits from newer chips'.",
       .instead = "Expect differences of a few units in the last place between chips.",
       .evidence = "ane-guide app.A.",
       .engine_text = {},
       .check_function = check_resize},
      {.id = "ANE017",
       .name = "slice-at-run-time",
       .title = "A slice whose begin is computed",
       .severity = Severity::kRefusedAtCompile,
       .why = "M1's validator passes it, its code generator does not.",
       .instead = "Multiply by a one-hot matrix, or give the slice as an input.",
       .evidence = "ane-guide ch.22, 24, measured on M1 Max.",
       .engine_text = {},
       .check_function = check_run_time_slice},
      {.id = "ANE018",
       .name = "argmax-extent",
       .title = "argmax or argmin over a long axis",
       .severity = Severity::kRefusedAtCompile,
       .why = "The unit compares windows of at most 2048 elements.",
       .instead = "Reduce in two steps, or take the argmax on the CPU.",
       .evidence = "ane-guide ch.17, measured on M1 Max.",
       .engine_text = {},
       .check_function = check_arg_extent},
      {.id = "ANE019",
       .name = "topk-of-3-or-4",
       .title = "topk with k of 3 or 4",
       .severity = Severity::kRefusedAtCompile,
       .why = "The compiler fails for these two values of k, whatever the width.",
       .instead = "Ask for 5 and drop the rest.",
       .evidence = "ANEForge 0.4.0, measured on M5 Pro; ane-guide ch.17, 26 on M1 Max.",
       .engine_text = {},
       .check_function = check_topk},
      {.id = "ANE020",
       .name = "pool-window",
       .title = "A large pooling window",
       .severity = Severity::kRefusedAtCompile,
       .why = "Apple's tables bound the window by 29 on M1 and 31 later; 751K-ANE met 8 for "
              "max_pool on M4; ane-guide ch.17 had 128 accepted.",
       .instead = "Pool twice with smaller windows.",
       .evidence = "ane-guide app.A against its ch.17; 751K-ANE 3.3.",
       .engine_text = {},
       .check_function = check_pool_window},
      {.id = "ANE027",
       .name = "odd-factor",
       .title = "Repeating or regrouping by another factor than 2, 3, 4 and 8",
       .severity = Severity::kRefusedAtCompile,
       .why = "tile, pixel_shuffle, depth_to_space and their kin take these factors by Apple's "
              "tables.",
       .instead = "Make 6 of 2 and 3, 16 of 2 and 8; or reshape and transpose.",
       .evidence = "ane-guide app.A.",
       .engine_text = {},
       .check_function = check_factors},
      {.id = "ANE028",
       .name = "transpose-of-batch",
       .title = "A transpose that moves the first of five dimensions",
       .severity = Severity::kRefusedAtCompile,
       .why = "The engine exchanges depth, channels, height and width; the batch stays first.",
       .instead = "Reshape so that four dimensions are enough.",
       .evidence = "ane-guide app.A.",
       .engine_text = "NE Input Transpose is not supported for this arch",
       .check_function = check_transpose_of_first},
  };
}

}  // namespace pyane::chip
