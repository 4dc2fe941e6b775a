#include "pyane/emulator/kernels/conv_int8.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <utility>

#include "pyane/base/cpu.h"
#include "pyane/base/divide.h"
#include "pyane/base/error.h"
#include "pyane/base/half.h"
#include "pyane/base/thread_pool.h"
#include "pyane/emulator/kernels/elements.h"
#include "pyane/emulator/kernels/float_row.h"
#include "pyane/emulator/kernels/int8_kernel.h"
#include "pyane/emulator/kernels/phased_image.h"
#include "pyane/emulator/scratch.h"
#include "pyane/mil/ops/windows.h"

// Activations are staged as phased_image.h lays them out, a word holding neighbouring channels;
// tiles of filters and positions are then products of words. Where words hold bytes, zero points
// are taken off the sums: sum (x - zx) * w = sum x * w - zx * sum w. Where they hold int16, they
// are taken off the elements.

namespace pyane::emulator {

const Int8Kernel& active_int8_kernel(bool of_bytes) {
  static_cast<void>(of_bytes);
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAvx512: {
      static const bool has_vnni = __builtin_cpu_supports("avx512vnni") != 0;
      return of_bytes && has_vnni ? kInt8KernelAvx512Vnni : kInt8KernelAvx512;
    }
    case Isa::kAvx2:
      return kInt8KernelAvx2;
#elif defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
    case Isa::kNeon:
      return of_bytes ? kInt8KernelNeonDot : kInt8KernelScalar;
#endif
    default:
      return kInt8KernelScalar;
  }
}

QuantizeRun active_quantize_run() {
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAvx512:
      return kQuantizeAvx512;
    case Isa::kAvx2:
      return kQuantizeAvx2;
#endif
    default:
      return kQuantizeScalar;
  }
}

namespace {

using Index = std::int64_t;
using mil::ValueId;

/// 2^15 * 255^2 < 2^31.
constexpr Index kMaxTerms = Index{1} << 15;
constexpr Index kWantedTasks = 32;
constexpr Index kMinTaskWords = 1 << 17;
constexpr std::size_t kAlign = 64;
constexpr std::size_t kMaxDepth = 4;

std::size_t aligned_bytes(Index n_words) {
  return (static_cast<std::size_t>(n_words) * 4 + kAlign - 1) / kAlign * kAlign;
}

bool is_int8(DType dtype) { return dtype == DType::kInt8 || dtype == DType::kUint8; }

/// Operands of the record, in its order.
enum Operand : std::size_t { kX, kScaleX, kZeroX, kWeight, kScaleW, kZeroW, kBias };

/// A constant operand as int32; `absent` when the program does not give it.
std::vector<std::int32_t> constant_integers(const TensorView& constant, std::int32_t absent) {
  if (constant.is_absent()) return {absent};
  std::vector<std::int32_t> values;
  for (const float value : constant_floats(constant)) {
    values.push_back(static_cast<std::int32_t>(value));
  }
  return values;
}

/// Entry `i` of a parameter of which there is one, or one per output channel.
template <typename T>
T entry(const std::vector<T>& values, Index i) {
  return values.size() == 1 ? values[0] : values[static_cast<std::size_t>(i)];
}

class Int8Conv final : public Step {
 public:
  Int8Conv(const PrepareContext& context, const ImageAxes& axes)
      : image_(axes), bias_dtype_(context.inputs[kBias].dtype) {
    const TensorView& x = context.inputs[kX];
    const TensorView& weight = context.inputs[kWeight];
    const TensorView& out = context.outputs[0];
    groups_ = context.op.integer("groups");
    n_images_ = x.dim(0);
    channels_ = x.dim(1) / groups_;
    filters_ = out.dim(1) / groups_;
    channel_elements_ = x.dim(1) == 0 ? 0 : x.count() / std::max<Index>(n_images_ * x.dim(1), 1);
    out_elements_ = 1;
    for (const ImageAxis& axis : axes) out_elements_ *= axis.output;
    out_dtype_ = out.dtype;
    is_signed_ = x.dtype == DType::kInt8;
    zero_x_ = constant_integers(context.inputs[kZeroX], 0)[0];

    const std::vector<std::int32_t> zero_w = constant_integers(context.inputs[kZeroW], 0);
    const std::int32_t middle = weight.dtype == DType::kUint8 ? 128 : 0;
    const bool of_bytes =
        std::all_of(zero_w.begin(), zero_w.end(), [&](auto zero) { return zero == middle; });
    kernel_ = &active_int8_kernel(of_bytes);
    depth_ = kernel_->depth;
    if (depth_ == 4) {  // From the program's bytes to the kernel's, and their zero point.
      flip_ = is_signed_ == kernel_->is_unsigned ? 0x80 : 0;
      stored_zero_ = zero_x_;
      if (flip_ != 0) stored_zero_ += is_signed_ ? 128 : -128;
    }

    channel_words_ = divide_up(channels_, depth_);
    const std::vector<Index> elements = image_.kernel_offsets();
    n_k_ = channel_words_ * static_cast<Index>(elements.size());
    for (Index c = 0; c < channel_words_; ++c) {
      for (const Index offset : elements) k_offsets_.push_back(c * image_.channel_words() + offset);
    }
    walk_ = image_.walk(kernel_->nr);
    n_panels_ = divide_up(walk_.n_positions, kernel_->nr);
    n_tiles_ = divide_up(filters_, kernel_->mr);
    height_ = divide_up(filters_, std::max<Index>(n_tiles_, 1));
    n_tiles_ = height_ == 0 ? 0 : divide_up(filters_, height_);
    const Index outer = n_images_ * groups_ * walk_.n_slices;
    panels_per_task_ =
        std::clamp<Index>(std::max(n_panels_ * outer / kWantedTasks,
                                   divide_up(kMinTaskWords, std::max<Index>(filters_ * n_k_, 1))),
                          1, std::max<Index>(n_panels_, 1));
    n_runs_ = divide_up(n_panels_, panels_per_task_);
    n_words_ = n_images_ * groups_ * channel_words_ * image_.channel_words();

    pack(weight, zero_w);
    const std::vector<float> scale_w = constant_floats(context.inputs[kScaleW]);
    const float scale_x = constant_floats(context.inputs[kScaleX])[0];
    for (Index f = 0; f < filters_ * groups_; ++f) factors_.push_back(scale_x * entry(scale_w, f));
  }

  void run(const StepArguments& arguments) const override {
    auto* words = reinterpret_cast<std::int32_t*>(arguments.scratch);
    stage(arguments.inputs[kX].as<const std::uint8_t>(), words);
    const TensorView& bias = arguments.inputs[kBias];
    const Index tasks = n_images_ * groups_ * walk_.n_slices * n_runs_;
    // Of words, each of which has several products.
    constexpr double kProductsPerNs = 32;
    const Index n_sums = n_images_ * groups_ * walk_.n_slices * walk_.n_positions;
    const std::chrono::nanoseconds work = estimated_work(
        static_cast<double>(n_sums) * static_cast<double>(filters_ * n_k_) / kProductsPerNs);
    parallel_for(static_cast<std::size_t>(tasks), work, [&](std::size_t task) {
      run_task(static_cast<Index>(task), words, bias.is_absent() ? nullptr : bias.data,
               arguments.outputs[0].data);
    });
  }

  std::size_t scratch_bytes() const override { return aligned_bytes(n_words_ + kernel_->nr); }
  bool reads_input(std::size_t i) const override { return i == kX || i == kBias; }

 private:
  Index tile_words() const { return n_k_ * kernel_->mr; }

  /// Weights as words, [group][tile][k][row], and what their sums take with zero_x.
  void pack(const TensorView& weight, const std::vector<std::int32_t>& zero_w) {
    const auto n_elements = static_cast<Index>(image_.kernel_offsets().size());
    const bool is_unsigned = weight.dtype == DType::kUint8;
    packed_.assign(static_cast<std::size_t>(groups_ * n_tiles_ * tile_words()), 0);
    corrections_.assign(static_cast<std::size_t>(groups_ * filters_), 0);
    const auto* levels = weight.as<const std::uint8_t>();
    const int bits = 32 / depth_;
    const std::uint32_t mask = depth_ == 4 ? 0xFFU : 0xFFFFU;
    for (Index f = 0; f < groups_ * filters_; ++f) {
      const std::int32_t zero = entry(zero_w, f);
      const Index in_group = f % filters_;
      std::int32_t* tile = packed_.data() +
                           (f / filters_ * n_tiles_ + in_group / height_) * tile_words() +
                           in_group % height_;
      Index sum = 0;
      for (Index c = 0; c < channels_; ++c) {
        for (Index k = 0; k < n_elements; ++k) {
          const std::uint8_t level = levels[(f * channels_ + c) * n_elements + k];
          const std::int32_t value = (is_unsigned ? level : static_cast<std::int8_t>(level)) - zero;
          sum += value;
          std::int32_t& word = tile[(c / depth_ * n_elements + k) * kernel_->mr];
          word = static_cast<std::int32_t>(static_cast<std::uint32_t>(word) |
                                           (static_cast<std::uint32_t>(value) & mask)
                                               << (c % depth_ * bits));
        }
      }
      corrections_[static_cast<std::size_t>(f)] = static_cast<std::int32_t>(stored_zero_ * sum);
    }
  }

  void stage(const std::uint8_t* x, std::int32_t* words) const {
    const Index n = n_images_ * groups_ * channel_words_;
    parallel_for(static_cast<std::size_t>(n), std::chrono::nanoseconds(n_words_ * depth_),
                 [&](std::size_t task) { stage_channels(x, static_cast<Index>(task), words); });
    std::fill_n(words + n_words_, kernel_->nr, 0);
  }

  /// The channels of one word.
  void stage_channels(const std::uint8_t* x, Index task, std::int32_t* words) const {
    const Index c = task % channel_words_ * depth_;
    const Index product = task / channel_words_;  // Of image and group.
    const Index n_here = std::min<Index>(depth_, channels_ - c);
    const ImageAxis& w = image_.axes()[2];
    const Index pitch = image_.pitch();
    // Zero everywhere, as the zero point is stored, and channels that are not there.
    const auto zero = static_cast<std::uint8_t>(zero_x_);
    auto* lines = reinterpret_cast<std::uint8_t*>(
        thread_scratch(static_cast<std::size_t>(pitch) * kMaxDepth));
    std::array<const std::uint8_t*, kMaxDepth> rows{};
    std::int32_t* target = words + task * image_.channel_words();
    const auto convert = [&](Index at, Index n) {
      kernel_->interleave(rows.data(), n, flip_, zero_x_, is_signed_, target + at);
    };
    const auto fill_gap = [&](Index at, Index n) {
      std::fill_n(lines, n, zero);
      rows.fill(lines);
      convert(at, n);
    };
    image_.for_each_row_of_channel(
        0,
        [&](Index source, Index at) {
          for (Index phase = 0; phase < w.phases(); ++phase) {
            // Place i holds element i * stride + from, where the row has one.
            const Index from = phase - w.lead;
            const Index begin = std::clamp<Index>((w.stride - 1 - from) / w.stride, 0, pitch);
            const Index end = std::clamp<Index>(
                w.input > from ? (w.input - from + w.stride - 1) / w.stride : 0, begin, pitch);
            const Index word = at + phase * image_.plane_words();
            fill_gap(word, begin);
            fill_gap(word + end, pitch - end);
            for (Index i = 0; i < depth_; ++i) {
              std::uint8_t* line = lines + i * pitch;
              const std::uint8_t* row =
                  x + (product * channels_ + c + i) * channel_elements_ + source + from;
              if (i >= n_here) {
                std::fill_n(line, end - begin, zero);
              } else if (w.stride == 1) {
                rows[static_cast<std::size_t>(i)] = row + begin;
                continue;
              } else {
                for (Index j = begin; j < end; ++j) line[j - begin] = row[j * w.stride];
              }
              rows[static_cast<std::size_t>(i)] = line;
            }
            convert(word + begin, end - begin);
          }
        },
        fill_gap);
  }

  void run_task(Index task, const std::int32_t* words, const std::byte* bias,
                std::byte* out) const {
    const Index run = task % n_runs_;
    const Index slice = task / n_runs_ % walk_.n_slices;
    const Index product = task / n_runs_ / walk_.n_slices;
    const Index group = product % groups_;
    const std::int32_t* image = words + product * channel_words_ * image_.channel_words() +
                                image_.slice_offset(walk_, slice);
    const Index out_at = product * filters_ * out_elements_ + image_.slice_output(walk_, slice);
    const Index tile_elements = Index{kernel_->mr} * kernel_->nr;
    auto* sums = reinterpret_cast<std::int32_t*>(
        thread_scratch(static_cast<std::size_t>(tile_elements) * (4 + 4 + 2)));
    auto* values = reinterpret_cast<float*>(sums + tile_elements);
    auto* rounded = reinterpret_cast<half_bits*>(values + tile_elements);

    const Index last = std::min((run + 1) * panels_per_task_, n_panels_);
    for (Index panel = run * panels_per_task_; panel < last; ++panel) {
      const Index position = panel * kernel_->nr;
      const Index cols = std::min<Index>(kernel_->nr, walk_.n_positions - position);
      for (Index tile = 0; tile < n_tiles_; ++tile) {
        const Index first = tile * height_;
        const Index rows = std::min(height_, filters_ - first);
        kernel_->multiply(n_k_, packed_.data() + (group * n_tiles_ + tile) * tile_words(),
                          image + position, k_offsets_.data(), sums, static_cast<int>(rows));
        for (Index i = 0; i < rows; ++i) {
          const Index f = group * filters_ + first + i;
          const auto at = static_cast<std::size_t>(f);
          kernel_->scale(sums + i * kernel_->nr, kernel_->nr, corrections_[at], factors_[at],
                         bias == nullptr ? 0.0F : bias_at(bias, f), values + i * kernel_->nr);
        }
        const Index out_tile = out_at + first * out_elements_;
        if (out_dtype_ == DType::kFp16) {
          float_to_half(values, rounded, static_cast<std::size_t>(rows * kernel_->nr));
          store(rounded, rows, position, cols, reinterpret_cast<half_bits*>(out) + out_tile);
        } else {
          store(values, rows, position, cols, reinterpret_cast<float*>(out) + out_tile);
        }
      }
    }
  }

  float bias_at(const std::byte* bias, Index i) const {
    float value = 0;
    emulator::load_floats(bias_dtype_, bias, i, 1, 1, &value);
    return value;
  }

  /// Copies those of `cols` positions from `position` on that belong to the output.
  template <typename T>
  void store(const T* tile, Index rows, Index position, Index cols, T* out) const {
    const Index pitch = image_.pitch();
    const Index width = image_.axes()[2].output;
    Index y = position / pitch;
    Index x = position % pitch;
    for (Index column = 0; column < cols;) {
      const Index n = std::min(pitch - x, cols - column);
      for (Index i = 0; x < width && i < rows; ++i) {
        std::copy_n(tile + i * kernel_->nr + column, std::min(n, width - x),
                    out + i * out_elements_ + y * width + x);
      }
      column += n;
      x = 0;
      ++y;
    }
  }

  PhasedImage image_;
  DType bias_dtype_;
  DType out_dtype_ = DType::kFp16;
  const Int8Kernel* kernel_ = nullptr;
  int depth_ = 4;
  bool is_signed_ = true;
  std::int32_t zero_x_ = 0;
  std::uint8_t flip_ = 0;
  std::int32_t stored_zero_ = 0;  ///< Left for the sums.
  Index n_images_ = 0;
  Index groups_ = 1;
  Index channels_ = 0;  ///< Of one group, as filters_.
  Index filters_ = 0;
  Index channel_elements_ = 0;  ///< Of x.
  Index out_elements_ = 0;      ///< Of one channel.
  Index channel_words_ = 0;     ///< Words that hold the channels of a group.
  Index n_k_ = 0;
  std::vector<Index> k_offsets_;
  OutputWalk walk_{};
  Index n_panels_ = 0;
  Index height_ = 0;
  Index n_tiles_ = 0;
  Index panels_per_task_ = 1;
  Index n_runs_ = 0;
  Index n_words_ = 0;
  std::vector<std::int32_t> packed_;
  std::vector<std::int32_t> corrections_;
  std::vector<float> factors_;
};

std::unique_ptr<Step> prepare_int8_conv(const PrepareContext& context) {
  const TensorView& x = context.inputs[kX];
  const TensorView& weight = context.inputs[kWeight];
  std::vector<Index> kernel;
  for (int i = 2; i < weight.rank; ++i) kernel.push_back(weight.dim(i));
  const std::vector<mil::SpatialWindow> windows = mil::spatial_windows(context.op, kernel);
  ImageAxes axes{};
  std::size_t axis = kSpatialDims - windows.size();
  for (std::size_t i = 0; i < windows.size(); ++i, ++axis) {
    const mil::SpatialWindow& w = windows[i];
    axes[axis] = {.input = w.input,
                  .input_stride = x.stride(static_cast<int>(i) + 2),
                  .lead = w.pad_before,
                  .kernel = w.kernel,
                  .stride = w.stride,
                  .dilation = w.dilation,
                  .output = w.output};
  }
  require_staged_size(context.op, x, axes);
  return std::make_unique<Int8Conv>(context, axes);
}

ValueId operand_of(const mil::VerifiedOperation& operation, std::string_view name) {
  const mil::VerifiedInput* const found = operation.find_input(name);
  return found == nullptr || found->values.empty() ? -1 : found->values[0];
}

/// The operands that make a dequantized tensor: numbers, scale, zero point.
struct Dequantized {
  ValueId data = -1;
  ValueId scale = -1;
  ValueId zero = -1;
};

Dequantized dequantized(const mil::VerifiedOperation& operation) {
  if (operation.record->name == "dequantize") {
    return {operand_of(operation, "input"), operand_of(operation, "scale"),
            operand_of(operation, "zero_point")};
  }
  if (operation.record->name == "constexpr_affine_dequantize") {
    return {operand_of(operation, "quantized_data"), operand_of(operation, "scale"),
            operand_of(operation, "zero_point")};
  }
  if (operation.record->name == "constexpr_blockwise_shift_scale") {
    return {operand_of(operation, "data"), operand_of(operation, "scale"),
            operand_of(operation, "offset")};
  }
  return {};
}

}  // namespace

std::vector<ValueId> int8_conv_operands(const mil::VerifiedFunction& function,
                                        const mil::VerifiedOperation& conv,
                                        const mil::VerifiedOperation* x,
                                        const mil::VerifiedOperation* weight) {
  if (x == nullptr || weight == nullptr || x->record->name != "dequantize") return {};
  const auto value = [&](ValueId id) -> const mil::VerifiedValue& {
    return function.values[static_cast<std::size_t>(id)];
  };
  const auto count = [&](ValueId id) { return element_count(value(id).type.dims).value_or(-1); };
  const Dequantized activations = dequantized(*x);
  const Dequantized weights = dequantized(*weight);
  if (weights.data < 0) return {};
  for (const ValueId id : {weights.data, weights.scale, activations.scale}) {
    if (value(id).constant == nullptr) return {};
  }
  for (const ValueId id : {weights.zero, activations.zero}) {
    if (id >= 0 && (value(id).constant == nullptr || !is_int8(value(id).type.dtype))) return {};
  }
  const mil::Type& kind = value(weights.data).type;
  if (!is_int8(kind.dtype) || !is_int8(value(activations.data).type.dtype)) return {};
  if (kind.dims.size() < 3 || kind.dims.size() > 2 + kSpatialDims) return {};
  for (const ValueId id : {conv.outputs[0], activations.data, weights.data}) {
    if (count(id) <= 0) return {};
  }
  // One number for all of x; one for all of the weight or for each output channel.
  const std::int64_t filters = kind.dims[0];
  for (const ValueId id : {activations.scale, activations.zero}) {
    if (id >= 0 && count(id) != 1) return {};
  }
  for (const ValueId id : {weights.scale, weights.zero}) {
    if (id < 0 || count(id) == 1) continue;
    if (count(id) != filters) return {};
    const Shape& dims = value(id).type.dims;
    const bool is_vector =
        dims.size() == 1 && weight->record->name != "constexpr_blockwise_shift_scale";
    if (is_vector ? function.context(*weight).axis("axis", kind.dims.size()) != 0
                  : dims.empty() || dims[0] != filters) {
      return {};
    }
  }
  if (count(weights.data) / filters > kMaxTerms) return {};
  return {activations.data, activations.scale, activations.zero,        weights.data,
          weights.scale,    weights.zero,      operand_of(conv, "bias")};
}

const KernelRecord& int8_conv_record() {
  static const KernelRecord record = {
      .op = "conv",
      .operands = {"x", "scale_x", "zero_x", "weight", "scale_w", "zero_w", "bias"},
      .prepare = &prepare_int8_conv};
  return record;
}

}  // namespace pyane::emulator
