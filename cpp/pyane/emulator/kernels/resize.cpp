#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "pyane/emulator/kernels/copy.h"
#include "pyane/emulator/kernels/float_row.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/rows.h"
#include "pyane/emulator/kernels/sampling_grid.h"
#include "pyane/emulator/kernels/table_limit.h"
#include "pyane/emulator/scratch.h"

// Resizing along the last dimensions, one after the other: rows of the image are mixed first, then
// the elements of the mixed row.

namespace pyane::emulator {
namespace {

using mil::OpContext;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Input and output size of a resized dimension.
struct Axis {
  std::int64_t input;
  std::int64_t output;
};

/// The dimensions that an operation resizes: the last `n` of x.
std::vector<Axis> resized_axes(const PrepareContext& context, std::int64_t n) {
  const TensorLayout& x = context.inputs[0];
  std::vector<Axis> axes;
  for (std::int64_t i = x.rank - n; i < x.rank; ++i) {
    axes.push_back({x.dims[at(i)], context.outputs[0].dims[at(i)]});
    require_table(context.op, axes.back().output, "element of a resized dimension");
  }
  return axes;
}

/// Rows of the output, as indices of the resized dimensions but the last.
class RowIndex {
 public:
  explicit RowIndex(const std::vector<Axis>& axes) {
    for (std::size_t i = 0; i + 1 < axes.size(); ++i) {
      outputs_.push_back(axes[i].output);
      n_inputs_ *= axes[i].input;
      n_outputs_ *= axes[i].output;
    }
  }
  std::int64_t n_inputs() const { return n_inputs_; }
  std::int64_t n_outputs() const { return n_outputs_; }
  /// Index along dimension `axis` of output row `row` of an image.
  std::int64_t along(std::size_t axis, std::int64_t row) const {
    for (std::size_t i = outputs_.size(); i-- > axis + 1;) row /= outputs_[i];
    return row % outputs_[axis];
  }

 private:
  std::vector<std::int64_t> outputs_;
  std::int64_t n_inputs_ = 1;
  std::int64_t n_outputs_ = 1;
};

std::int64_t n_images(const TensorLayout& x, const std::vector<Axis>& axes) {
  std::int64_t n = 1;
  for (std::int64_t i = 0; i < x.rank - static_cast<std::int64_t>(axes.size()); ++i) {
    n *= x.dims[at(i)];
  }
  return n;
}

/// Copies the input element that `sources` names for each output index.
class Nearest final : public Step {
 public:
  using Sources = std::vector<std::vector<std::int64_t>>;

  Nearest(const PrepareContext& context, const std::vector<Axis>& axes, Sources sources)
      : axes_(axes),
        sources_(std::move(sources)),
        rows_(axes),
        n_images_(n_images(context.inputs[0], axes)),
        n_bytes_(context.inputs[0].element_bytes()) {}

  void run(const StepArguments& arguments) const override {
    switch (n_bytes_) {
      case 1:
        return run_as<std::uint8_t>(arguments);
      case 2:
        return run_as<std::uint16_t>(arguments);
      case 4:
        return run_as<std::uint32_t>(arguments);
      default:
        return run_as<std::uint64_t>(arguments);
    }
  }

 private:
  template <typename T>
  void run_as(const StepArguments& arguments) const {
    const T* x = arguments.inputs[0].as<T>();
    T* out = arguments.outputs[0].as<T>();
    const Axis& last = axes_.back();
    const std::vector<std::int64_t>& columns = sources_.back();
    for_each_row(n_images_ * rows_.n_outputs(), last.output,
                 [&](std::int64_t begin, std::int64_t end) {
                   std::int64_t previous = -1;
                   for (std::int64_t row = begin; row < end; ++row) {
                     std::int64_t from = row / rows_.n_outputs();
                     for (std::size_t i = 0; i + 1 < axes_.size(); ++i) {
                       from = from * axes_[i].input + sources_[i][at(rows_.along(i, row))];
                     }
                     T* to = out + row * last.output;
                     if (from == previous) {
                       std::memcpy(to, to - last.output, at(last.output) * sizeof(T));
                     } else {
                       const T* source = x + from * last.input;
                       for (std::size_t j = 0; j < columns.size(); ++j) to[j] = source[columns[j]];
                     }
                     previous = from;
                   }
                 });
  }

  std::vector<Axis> axes_;
  Sources sources_;
  RowIndex rows_;
  std::int64_t n_images_;
  std::size_t n_bytes_;
};

/// How elements come into and out of the arithmetic: fp32 for fp16 and fp32, fp64 for int32, which
/// are rounded half to even.
template <typename T>
void load_row(DType dtype, const std::byte* x, std::int64_t offset, std::int64_t n, T* row) {
  if constexpr (std::is_same_v<T, float>) {
    load_floats(dtype, x, offset, 1, n, row);
  } else {
    std::copy_n(reinterpret_cast<const std::int32_t*>(x) + offset, n, row);
  }
}
template <typename T>
void store_row(const T* row, DType dtype, std::byte* out, std::int64_t offset, std::int64_t n) {
  if constexpr (std::is_same_v<T, float>) {
    store_floats(row, dtype, out, offset, 1, n);
  } else {
    auto* to = reinterpret_cast<std::int32_t*>(out) + offset;
    for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<std::int32_t>(std::nearbyint(row[i]));
  }
}

/// Neighbours that do not count take no part: 0 * inf would be NaN.
template <typename T>
T mix(T low, T high, float weight) {
  const T mixed = (T{1} - T{weight}) * low + T{weight} * high;
  return weight == 0.0F ? low : mixed;
}

template <typename T>
class Linear final : public Step {
 public:
  Linear(const PrepareContext& context, const std::vector<Axis>& axes, SamplingMode mode)
      : axes_(axes),
        rows_(axes),
        n_images_(n_images(context.inputs[0], axes)),
        dtype_(context.inputs[0].dtype) {
    for (const Axis& axis : axes) {
      std::vector<Between>& samples = samples_.emplace_back();
      for (std::int64_t i = 0; i < axis.output; ++i) {
        const double point = grid_point(mode, i, axis.output, static_cast<double>(axis.input));
        samples.push_back(between(point, axis.input));
      }
    }
  }

  void run(const StepArguments& arguments) const override {
    const std::byte* x = arguments.inputs[0].data;
    std::byte* out = arguments.outputs[0].data;
    const Axis& last = axes_.back();
    const std::size_t n_rows = axes_.size();  // One, and another for each dimension of rows.
    for_each_row(n_images_ * rows_.n_outputs(), std::max(last.output, last.input),
                 [&](std::int64_t begin, std::int64_t end) {
                   auto* memory = reinterpret_cast<T*>(
                       thread_scratch((n_rows * at(last.input) + at(last.output)) * sizeof(T)));
                   T* result = memory + n_rows * at(last.input);
                   for (std::int64_t row = begin; row < end; ++row) {
                     mixed_row(x, 0, row / rows_.n_outputs(), row, memory);
                     const std::vector<Between>& columns = samples_.back();
                     for (std::size_t j = 0; j < columns.size(); ++j) {
                       const Between& sample = columns[j];
                       result[j] = mix(memory[sample.low], memory[sample.high], sample.weight);
                     }
                     store_row(result, dtype_, out, row * last.output, last.output);
                   }
                 });
  }

 private:
  /// The input row that belongs to output row `row`, mixed along dimension `axis` and those after
  /// it, to the front of `memory`. `from` counts the input's indices before `axis`.
  void mixed_row(const std::byte* x, std::size_t axis, std::int64_t from, std::int64_t row,
                 T* memory) const {
    const std::int64_t width = axes_.back().input;
    if (axis + 1 == axes_.size()) return load_row(dtype_, x, from * width, width, memory);
    const Between& sample = samples_[axis][at(rows_.along(axis, row))];
    mixed_row(x, axis + 1, from * axes_[axis].input + sample.low, row, memory);
    if (sample.weight == 0.0F) return;
    T* high = memory + width;
    mixed_row(x, axis + 1, from * axes_[axis].input + sample.high, row, high);
    for (std::int64_t i = 0; i < width; ++i) {
      memory[i] = (T{1} - T{sample.weight}) * memory[i] + T{sample.weight} * high[i];
    }
  }

  std::vector<Axis> axes_;
  std::vector<std::vector<Between>> samples_;
  RowIndex rows_;
  std::int64_t n_images_;
  DType dtype_;
};

std::unique_ptr<Step> linear(const PrepareContext& context, const std::vector<Axis>& axes,
                             SamplingMode mode) {
  if (context.inputs[0].dtype == DType::kInt32) {
    return std::make_unique<Linear<double>>(context, axes, mode);
  }
  return std::make_unique<Linear<float>>(context, axes, mode);
}

/// Element i * input / output: what upsampling by a factor means.
std::int64_t source_of_upsampling(std::int64_t i, const Axis& axis) {
  return i * axis.input / axis.output;
}

/// The element in which the middle of output element i lies.
std::int64_t source_of_middle(std::int64_t i, const Axis& axis) {
  const auto twice = static_cast<std::uint64_t>(2 * i + 1);  // Times 2^31: beyond int64.
  return static_cast<std::int64_t>(twice * static_cast<std::uint64_t>(axis.input) /
                                   static_cast<std::uint64_t>(2 * axis.output));
}

template <typename Source>
std::unique_ptr<Step> nearest(const PrepareContext& context, const std::vector<Axis>& axes,
                              const Source& source) {
  Nearest::Sources sources;
  for (const Axis& axis : axes) {
    std::vector<std::int64_t>& indices = sources.emplace_back();
    for (std::int64_t i = 0; i < axis.output; ++i) indices.push_back(source(i, axis));
  }
  return std::make_unique<Nearest>(context, axes, std::move(sources));
}

std::unique_ptr<Step> prepare_upsample_nearest(const PrepareContext& context) {
  return nearest(context, resized_axes(context, 2), source_of_upsampling);
}

std::unique_ptr<Step> prepare_resize_nearest(const PrepareContext& context) {
  return nearest(context, resized_axes(context, 2), source_of_middle);
}

std::unique_ptr<Step> prepare_upsample_bilinear(const PrepareContext& context) {
  const bool aligns = context.op.boolean("align_corners");
  const bool is_half_pixel =
      context.op.has("half_pixel_centers") ? context.op.boolean("half_pixel_centers") : !aligns;
  const SamplingMode mode = aligns          ? SamplingMode::kStrictAlignCorners
                            : is_half_pixel ? SamplingMode::kUnalignCorners
                                            : SamplingMode::kDefault;
  return linear(context, resized_axes(context, 2), mode);
}

std::unique_ptr<Step> prepare_resize_bilinear(const PrepareContext& context) {
  return linear(context, resized_axes(context, 2),
                sampling_mode(context.op.string("sampling_mode")));
}

std::unique_ptr<Step> prepare_resize(const PrepareContext& context) {
  const std::int64_t n = context.op.integer("resized_dims");
  if (n == 0) return make_copy(context.inputs[0], context.outputs[0]);
  const std::vector<Axis> axes = resized_axes(context, n);
  const SamplingMode mode = sampling_mode(context.op.string("sampling_mode"));
  if (context.op.string("interpolation_mode") == "LINEAR") return linear(context, axes, mode);
  // coremltools makes DEFAULT of TensorFlow's half_pixel_centers, as for resize_nearest_neighbor.
  if (mode == SamplingMode::kDefault || mode == SamplingMode::kUnalignCorners) {
    return nearest(context, axes, source_of_middle);
  }
  return nearest(context, axes, [mode](std::int64_t i, const Axis& axis) {
    const double point = grid_point(mode, i, axis.output, static_cast<double>(axis.input));
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::floor(point + 0.5)), 0,
                                    axis.input - 1);
  });
}

}  // namespace

std::span<const KernelRecord> resize_kernels() {
  static const KernelRecord records[] = {
      {.op = "resize", .operands = {"x"}, .prepare = prepare_resize},
      {.op = "resize_bilinear", .operands = {"x"}, .prepare = prepare_resize_bilinear},
      {.op = "resize_nearest_neighbor", .operands = {"x"}, .prepare = prepare_resize_nearest},
      {.op = "upsample_bilinear", .operands = {"x"}, .prepare = prepare_upsample_bilinear},
      {.op = "upsample_nearest_neighbor", .operands = {"x"}, .prepare = prepare_upsample_nearest},
  };
  return records;
}

}  // namespace pyane::emulator
