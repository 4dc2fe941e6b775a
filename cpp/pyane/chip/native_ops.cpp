#include "pyane/chip/native_ops.h"

#include <algorithm>
#include <vector>

namespace pyane::chip {
namespace {

constexpr std::string_view kGuide = "ane-guide app.A, ch.4, 24";
constexpr std::string_view kSweep =
    "ane-guide app.A; ANEForge 0.4.0's sweep of all operations on M5 Pro";
constexpr std::string_view kNoBackend =
    "Some ops are not supported on any of the specified backends";
constexpr std::string_view kNone = "";

struct Row {
  std::string_view op;
  /// M1 to M5: N native, B bridged, x refused, ? contested, - unknown.
  std::string_view support;
  std::string_view note;
  std::string_view engine_text = kNone;
  std::string_view source = kGuide;
};

// Sorted by name; a static_assert below checks.
constexpr Row kRows[] = {
    {"abs", "NNNNN", ""},
    {"acos", "xxxxx", "use a polynomial", kNoBackend},
    {"acosh", "xxxxx", "use log(x + sqrt(x * x - 1))", kNoBackend},
    {"add", "NNNNN", "broadcasts from extents of 1 only"},
    {"affine", "xNNNN", "", "affine transform is not supported on this architecture"},
    {"argsort", "xNNN?", "ane-guide: from M2 on; ANEForge's sweep on M5: not implemented",
     kNoBackend, kSweep},
    {"asin", "xxxxx", "use a polynomial", kNoBackend},
    {"asinh", "xxxxx", "use log(x + sqrt(x * x + 1))", kNoBackend},
    {"atan", "NNNNN", "errors of 0.04 to 0.12 near the seams of the argument's reduction"},
    {"atanh", "xxxxx", "use 0.5 * log((1 + x) / (1 - x))", kNoBackend},
    {"avg_pool", "NNNNN", ""},
    {"band_part", "xxxxx", "multiply by a constant mask", kNoBackend},
    {"batch_norm", "NNNNN", ""},
    {"batch_to_space", "NNNNN", "factors 2, 3, 4 or 8"},
    {"cast", "NNNN?",
     "fp16, fp32, bool; wide integers are another matter (ANE024). ane-guide app.A: native, and "
     "751K-ANE's analysis of M6 lists the engine; ANEForge's sweep on M5: not by itself",
     kNone, kSweep},
    {"ceil", "NNNNN", ""},
    {"clamped_relu", "NNNNN", ""},
    {"clip", "NNNNN", ""},
    {"concat", "NNNNN", "at least two operands, constant axis"},
    {"cond", "xxxxx", "compute both branches and select", kNoBackend},
    {"const", "NNNNN", ""},
    {"constexpr_affine_dequantize", "NNNNN", "becomes fp16 when compiled on M1"},
    {"constexpr_blockwise_shift_scale", "NNNNN", "becomes fp16 when compiled on M1 and M2"},
    {"constexpr_cast", "?????",
     "ane-guide app.A: refused everywhere; ANEForge's sweep on M5: correct", kNone, kSweep},
    {"constexpr_lut_to_dense", "NNNNN", ""},
    {"constexpr_lut_to_sparse", "BBNNN", ""},
    {"constexpr_sparse_blockwise_shift_scale", "BBNNN", ""},
    {"constexpr_sparse_to_dense", "NNNNN", ""},
    {"conv", "NNNNN", "weight constant; width of an fp16 kernel bounded"},
    {"conv_transpose", "NNNNN", ""},
    {"coreml_update_state", "x????",
     "ane-guide app.A: native; its ch.8 and ANEForge's sweep: refused. Bind one surface to an "
     "input and an output",
     "Circular buffer is not supported on this architecture", kSweep},
    {"cos", "xxNNN", "use a polynomial"},
    {"cosh", "xxxxx", "use 0.5 * (exp(x) + exp(-x))", kNoBackend},
    {"crop", "NNNNN", ""},
    {"crop_resize", "xNNN?", "ane-guide: from M2 on; ANEForge on M5 Pro: fails to compile",
     "failed to map resize layer on this arch", kSweep},
    {"cumsum", "?????",
     "ane-guide app.A: native on a curated path; ANEForge's sweep and 751K-ANE: not implemented. "
     "Use a matmul with a triangle of ones",
     kNoBackend, kSweep},
    {"depth_to_space", "NNNNN", "factors 2, 3, 4 or 8"},
    {"dequantize", "NNNNN", "M1: symmetric only"},
    {"einsum", "NNNNN", ""},
    {"elu", "NNNNN", ""},
    {"equal", "NNNNN", ""},
    {"erf", "NNNNN", ""},
    {"exp", "NNNNN", ""},
    {"exp2", "NNNNN", ""},
    {"expand_dims", "NNNNN", ""},
    {"fill", "NNNNN", ""},
    {"fill_like", "NNNNN", ""},
    {"flatten2d", "NNNNN", ""},
    {"floor", "NNNNN", ""},
    {"floor_div", "NNNNN", ""},
    {"gather", "?NNN?",
     "M1: by a decomposition that takes few shapes; ANEForge's sweep on M5: not implemented, "
     "ane-guide: native. Use a matmul with one-hot rows, or look up on the CPU",
     "Cannot decompose layer on this architecture", kSweep},
    {"gather_along_axis", "?NNN?", "as gather", "Cannot decompose layer on this architecture",
     kSweep},
    {"gather_nd", "?NNN?", "as gather", "Cannot decompose layer on this architecture", kSweep},
    {"gelu", "NNNNN", ""},
    {"greater", "NNNNN", ""},
    {"greater_equal", "NNNNN", ""},
    {"gru", "xxxxx", "unroll it", kNoBackend},
    {"identity", "NNNN?", "ANEForge's sweep on M5: not by itself; drop it, or multiply by 1", kNone,
     kSweep},
    {"instance_norm", "NNNNN", ""},
    {"inverse", "NNNNN", ""},
    {"l2_norm", "NNNNN", ""},
    {"l2_pool", "NNNNN", ""},
    {"layer_norm", "NNNNN", ""},
    {"leaky_relu", "NNNNN", ""},
    {"less", "NNNNN", ""},
    {"less_equal", "NNNNN", ""},
    {"linear", "NNNNN", "rank of x below 5"},
    {"linear_activation", "NNNNN", ""},
    {"list_gather", "xxxxx", "unroll the list", kNoBackend},
    {"list_length", "xxxxx", "unroll the list", kNoBackend},
    {"list_read", "xxxxx", "unroll the list", kNoBackend},
    {"list_scatter", "xxxxx", "unroll the list", kNoBackend},
    {"list_write", "xxxxx", "unroll the list", kNoBackend},
    {"local_response_norm", "NNNNN", ""},
    {"log", "NNNNN", "log(0) is -45440"},
    {"logical_and", "xxx?x", "751K-ANE: supported on M4; use minimum of 0 and 1", kNoBackend},
    {"logical_not", "NNNNN", ""},
    {"logical_or", "xxx?x", "751K-ANE lists logical_and on M4; use maximum of 0 and 1", kNoBackend},
    {"logical_xor", "xxx?x", "751K-ANE lists logical_and on M4; use not_equal", kNoBackend},
    {"lstm", "xxxxx", "unroll it", kNoBackend},
    {"make_list", "xxxxx", "unroll the list", kNoBackend},
    {"matmul", "NNNNN", "rank up to 4"},
    {"max_pool", "NNNNN", ""},
    {"maximum", "NNNNN", ""},
    {"minimum", "NNNNN", ""},
    {"mod", "xxxxx", "use x - floor(x / y) * y", kNoBackend},
    {"mul", "NNNNN", ""},
    {"non_maximum_suppression", "?????",
     "ane-guide: CPU and GPU only; ANEForge's sweep: compiles on M5", kNoBackend, kSweep},
    {"non_zero", "xxxxx", "the size of the result must be known", kNoBackend},
    {"not_equal", "NNNNN", ""},
    {"one_hot", "xxxxx", "compare with a constant range", kNoBackend},
    {"pad", "NNNNN", "height and width only"},
    {"pixel_buffer_to_tensor", "xxxxx", "take uint8 and dequantize", kNoBackend,
     "ane-guide ch.8: parses; lowered for entitled processes only"},
    {"pixel_shuffle", "NNNNN", "factors 1, 2, 3, 4 or 8"},
    {"pixel_unshuffle", "NNNNN", "factors 1, 2, 3, 4 or 8"},
    {"pow", "NNNNN", ""},
    {"prelu", "NNNNN", "rank of 3 or more"},
    {"quantize", "NNNNN", "M1: symmetric only"},
    {"random_bernoulli", "xxxxx", "draw on the CPU",
     "Random layer is not supported on this architecture."},
    {"random_categorical", "xxxxx", "draw on the CPU",
     "Random layer is not supported on this architecture."},
    {"random_normal", "xxxxx", "draw on the CPU",
     "Random layer is not supported on this architecture."},
    {"random_uniform", "xx???",
     "ane-guide: from M3 on; ANEForge's sweep on M5: not implemented. Draw on the CPU",
     "Random layer is not supported on this architecture.", kSweep},
    {"range_1d", "x---N", "use a constant"},
    {"read_state", "x????",
     "ane-guide app.A: native; its ch.8 and ANEForge's sweep: refused. Bind one surface to an "
     "input and an output",
     "Circular buffer is not supported on this architecture", kSweep},
    {"real_div", "NNNNN", ""},
    {"reduce_argmax", "NNNN?", "ane-guide: native; ANEForge's sweep on M5: not implemented", kNone,
     kSweep},
    {"reduce_argmin", "xxNN?", "ane-guide: from M3 on; ANEForge's sweep on M5: not implemented",
     kNone, kSweep},
    {"reduce_l1_norm", "NNNNN", ""},
    {"reduce_l2_norm", "NNNNN", ""},
    {"reduce_log_sum", "NNNNN", ""},
    {"reduce_log_sum_exp", "NNNNN", ""},
    {"reduce_max", "NNNNN", ""},
    {"reduce_mean", "NNNNN", ""},
    {"reduce_min", "NNNNN", ""},
    {"reduce_prod", "xxxxx", "use exp(reduce_sum(log(x)))", kNoBackend},
    {"reduce_sum", "NNNNN", ""},
    {"reduce_sum_square", "NNNNN", ""},
    {"relu", "NNNNN", ""},
    {"relu6", "NNNNN", ""},
    {"resample", "xNNNN", "", "affine transform is not supported on this architecture"},
    {"reshape", "NNNNN", "up to five dimensions", "Cannot reshape a tensor of rank > 5"},
    {"reshape_like", "NNNN?", "ANEForge's sweep on M5: not by itself; use reshape", kNone, kSweep},
    {"resize", "BNNNN", ""},
    {"resize_bilinear", "BNNNN", ""},
    {"resize_nearest_neighbor", "BNNNN", ""},
    {"reverse", "NNNNN", ""},
    {"reverse_sequence", "xxxxx", "", kNoBackend},
    {"rnn", "xxxxx", "unroll it", kNoBackend},
    {"round", "NNNNN", ""},
    {"rsqrt", "NNNNN", ""},
    {"scaled_dot_product_attention", "NNNNN", "a dispatch of its own"},
    {"scaled_tanh", "NNNNN", ""},
    {"scatter", "xxxxx", "multiply by a one-hot matrix", kNoBackend},
    {"scatter_along_axis", "xxxxx", "multiply by a one-hot matrix", kNoBackend},
    {"scatter_nd", "xxxxx", "multiply by a one-hot matrix", kNoBackend},
    {"select", "NNNNN", ""},
    {"shape", "xxxxx", "shapes must be known", kNoBackend},
    {"sigmoid", "NNNNN", ""},
    {"sigmoid_hard", "NNNNN", ""},
    {"sign", "NNNNN", ""},
    {"silu", "NNNNN", ""},
    {"sin", "xxNNN", "use a polynomial"},
    {"sinh", "xxxxx", "use 0.5 * (exp(x) - exp(-x))", kNoBackend},
    {"slice_by_index", "BBBBN", "constant begin"},
    {"slice_by_size", "NNNNN", "constant begin on M1"},
    {"slice_update", "????x",
     "ane-guide app.A: native; ANEForge's sweep on M5: not implemented. Add under a mask",
     kNoBackend, kSweep},
    {"sliding_windows", "xxxxx", "use slices", kNoBackend},
    {"softmax", "NNNNN", ""},
    {"softplus", "NNNNN", ""},
    {"softplus_parametric", "NNNNN", ""},
    {"softsign", "NNNNN", ""},
    {"space_to_batch", "NNNNN", "factors 2, 3, 4 or 8"},
    {"space_to_depth", "NNNNN", "factors 2, 3, 4 or 8"},
    {"split", "NNNNN", ""},
    {"sqrt", "NNNNN", ""},
    {"square", "NNNNN", ""},
    {"squeeze", "NNNNN", ""},
    {"stack", "NNNNN", ""},
    {"sub", "NNNNN", ""},
    {"tan", "xxxxx", "use a polynomial", kNoBackend},
    {"tanh", "NNNNN", ""},
    {"tensor_buffer_to_tensor", "NNNNN", "", kNone, "751K-ANE's programs"},
    {"tensor_to_tensor_buffer", "NNNNN", "", kNone, "751K-ANE's programs"},
    {"thresholded_relu", "NNNNN", ""},
    {"tile", "NNNNN", "factors 2, 3, 4 or 8"},
    {"topk", "?NNNN", "ane-guide app.A: refused on M1; its ch.17, 26: works but for k of 3 and 4"},
    {"torch_upsample_bilinear", "BNNNN", ""},
    {"torch_upsample_nearest_neighbor", "BNNNN", ""},
    {"transpose", "NNNNN", "the last four dimensions only"},
    {"upsample_bilinear", "BNNNN", ""},
    {"upsample_nearest_neighbor", "BNNNN", ""},
    {"while_loop", "xxxxx", "unroll it", kNoBackend},
    {"write_state", "x????",
     "ane-guide app.A: native; its ch.8 and ANEForge's sweep: refused. Bind one surface to an "
     "input and an output",
     "Circular buffer is not supported on this architecture", kSweep},
};

constexpr bool is_sorted_and_whole() {
  std::string_view last;
  for (const Row& row : kRows) {
    if (row.op <= last || row.support.size() != 5) return false;
    if (row.support.find_first_not_of("NBx?-") != std::string_view::npos) return false;
    last = row.op;
  }
  return true;
}
static_assert(is_sorted_and_whole());

constexpr Support support_of(char c) {
  switch (c) {
    case 'N':
      return Support::kNative;
    case 'B':
      return Support::kBridged;
    case 'x':
      return Support::kRefused;
    case '?':
      return Support::kContested;
    default:
      return Support::kUnknown;
  }
}

std::vector<NativeOp> make_table() {
  std::vector<NativeOp> table;
  for (const Row& row : kRows) {
    NativeOp op{.op = row.op,
                .support = {},
                .source = row.source,
                .note = row.note,
                .engine_text = row.engine_text};
    std::transform(row.support.begin(), row.support.end(), op.support.begin(), support_of);
    table.push_back(op);
  }
  return table;
}

}  // namespace

std::string_view to_string(Support support) {
  switch (support) {
    case Support::kNative:
      return "native";
    case Support::kBridged:
      return "bridged";
    case Support::kRefused:
      return "refused";
    case Support::kContested:
      return "contested";
    case Support::kUnknown:
      return "unknown";
  }
  return "";
}

int NativeOp::needs_generation() const {
  if (support[0] != Support::kRefused) return 0;
  for (std::size_t i = 1; i < support.size(); ++i) {
    if (support[i] == Support::kNative || support[i] == Support::kBridged) {
      return static_cast<int>(i) + 1;
    }
  }
  return 0;
}

bool NativeOp::is_contested_after(const Profile& chip) const {
  return std::find(support.begin() + chip.generation, support.end(), Support::kContested) !=
         support.end();
}

std::span<const NativeOp> native_ops() {
  static const std::vector<NativeOp> table = make_table();
  return table;
}

const NativeOp* find_native_op(std::string_view op) {
  const std::span<const NativeOp> table = native_ops();
  const auto found =
      std::lower_bound(table.begin(), table.end(), op,
                       [](const NativeOp& row, std::string_view name) { return row.op < name; });
  return found != table.end() && found->op == op ? &*found : nullptr;
}

Support native_support(std::string_view op, const Profile& chip) {
  const NativeOp* row = find_native_op(op);
  return row == nullptr ? Support::kUnknown : row->on(chip);
}

}  // namespace pyane::chip
