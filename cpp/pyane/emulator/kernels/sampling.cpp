#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "pyane/base/error.h"
#include "pyane/base/half.h"
#include "pyane/emulator/kernels/float_row.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/rows.h"
#include "pyane/emulator/kernels/sampling_grid.h"
#include "pyane/emulator/kernels/table_limit.h"
#include "pyane/emulator/scratch.h"

// Operations that take samples of images [N, C, H, W] at places that are computed: resample, affine
// and crop_resize. Places are worked out in fp64, samples mixed in fp32 and rounded once.

namespace pyane::emulator {
namespace {

using mil::OpContext;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

enum class Padding : std::uint8_t { kBorder, kConstant, kReflection, kSymmetric };

/// The pixel that stands at `index` of a line of `n` continued by `padding`; -1: the constant.
std::int64_t continued(std::int64_t index, std::int64_t n, Padding padding) {
  if (index >= 0 && index < n) return index;
  switch (padding) {
    case Padding::kConstant:
      return -1;
    case Padding::kBorder:
      return index < 0 ? 0 : n - 1;
    case Padding::kReflection: {
      if (n == 1) return 0;
      const std::int64_t period = 2 * (n - 1);
      const std::int64_t folded = ((index % period) + period) % period;
      return folded < n ? folded : period - folded;
    }
    case Padding::kSymmetric: {
      const std::int64_t period = 2 * n;
      const std::int64_t folded = ((index % period) + period) % period;
      return folded < n ? folded : period - 1 - folded;
    }
  }
  return -1;
}

/// The same for a place between pixels, which is folded before it is rounded half to even, so that
/// ties fall as they do inside the image (as in PyTorch).
std::int64_t nearest(double place, std::int64_t n, Padding padding) {
  const auto size = static_cast<double>(n);
  if (padding == Padding::kReflection || padding == Padding::kSymmetric) {
    const double low = padding == Padding::kReflection ? 0.0 : -0.5;
    const double span = padding == Padding::kReflection ? size - 1 : size;
    const double distance = span > 0 ? std::fmod(std::fabs(place - low), 2 * span) : 0.0;
    place = low + (distance <= span ? distance : 2 * span - distance);
  }
  if (padding != Padding::kConstant) place = std::clamp(place, 0.0, size - 1);
  return continued(static_cast<std::int64_t>(std::nearbyint(place)), n, padding);
}

/// A mean of up to four pixels of one plane. Offsets of -1 stand for the constant.
struct Sample {
  std::array<std::int64_t, 4> offsets;
  std::array<float, 4> weights;
};

/// Far outside, where an integer would overflow, every place is alike.
double tame(double place) {
  constexpr double kFar = 1e9;
  return std::isnan(place) ? -kFar : std::clamp(place, -kFar, kFar);
}

Sample sample_at(double y, double x, std::int64_t height, std::int64_t width, Padding padding,
                 bool is_nearest) {
  y = tame(y);
  x = tame(x);
  if (is_nearest) {
    const std::int64_t row = nearest(y, height, padding);
    const std::int64_t column = nearest(x, width, padding);
    const std::int64_t offset = row < 0 || column < 0 ? -1 : row * width + column;
    return {.offsets = {offset, offset, offset, offset}, .weights = {1, 0, 0, 0}};
  }
  const double top = std::floor(y);
  const double left = std::floor(x);
  const double down = y - top;
  const double right = x - left;
  Sample sample{};
  for (std::size_t i = 0; i < 4; ++i) {
    const bool is_low = i / 2 == 0;
    const bool is_first = i % 2 == 0;
    const std::int64_t row =
        continued(static_cast<std::int64_t>(top) + (is_low ? 0 : 1), height, padding);
    const std::int64_t column =
        continued(static_cast<std::int64_t>(left) + (is_first ? 0 : 1), width, padding);
    sample.offsets[i] = row < 0 || column < 0 ? -1 : row * width + column;
    sample.weights[i] =
        static_cast<float>((is_low ? 1 - down : down) * (is_first ? 1 - right : right));
  }
  return sample;
}

/// A step whose output [images, C, H', W'] holds, for every pixel, one sample of an image of input
/// 0 that is the same for all channels.
class SamplingStep : public Step {
 public:
  SamplingStep(const OpContext& op, const TensorLayout& x, std::int64_t n_outputs,
               std::int64_t height, std::int64_t width, float constant)
      : dtype_(x.dtype),
        n_images_(x.dim(0)),
        channels_(x.dim(1)),
        height_(x.dim(2)),
        width_(x.dim(3)),
        n_outputs_(n_outputs),
        out_height_(height),
        out_width_(width),
        constant_(constant) {
    require_table(op, width, "sample of a row");
  }

  void run(const StepArguments& arguments) const override {
    check(arguments);
    const std::byte* x = arguments.inputs[0].data;
    std::byte* out = arguments.outputs[0].data;
    for_each_row(n_outputs_ * out_height_, out_width_ * channels_,
                 [&](std::int64_t begin, std::int64_t end) {
                   auto* samples = reinterpret_cast<Sample*>(
                       thread_scratch(at(out_width_) * (sizeof(Sample) + sizeof(float))));
                   auto* values = reinterpret_cast<float*>(samples + out_width_);
                   for (std::int64_t row = begin; row < end; ++row) {
                     const std::int64_t output = row / out_height_;
                     const std::int64_t i = row % out_height_;
                     for (std::int64_t j = 0; j < out_width_; ++j) {
                       samples[j] = sample(arguments, output, i, j);
                     }
                     const std::int64_t image = image_of(arguments, output);
                     for (std::int64_t c = 0; c < channels_; ++c) {
                       take(x, (image * channels_ + c) * height_ * width_, samples, values);
                       store_floats(values, dtype_, out,
                                    ((output * channels_ + c) * out_height_ + i) * out_width_, 1,
                                    out_width_);
                     }
                   }
                 });
  }

 protected:
  /// The sample for pixel (i, j) of an output image.
  virtual Sample sample(const StepArguments& arguments, std::int64_t output, std::int64_t i,
                        std::int64_t j) const = 0;
  /// The input image that an output image shows.
  virtual std::int64_t image_of(const StepArguments& arguments, std::int64_t output) const {
    static_cast<void>(arguments);
    return output;
  }
  /// @throws EvaluateError  for values that the operation cannot take.
  virtual void check(const StepArguments& arguments) const { static_cast<void>(arguments); }

  std::int64_t n_images() const { return n_images_; }
  std::int64_t height() const { return height_; }
  std::int64_t width() const { return width_; }
  std::int64_t n_outputs() const { return n_outputs_; }
  std::int64_t out_height() const { return out_height_; }
  std::int64_t out_width() const { return out_width_; }

 private:
  void take(const std::byte* x, std::int64_t plane, const Sample* samples, float* values) const {
    if (dtype_ == DType::kFp16) {
      const auto* pixels = reinterpret_cast<const half_bits*>(x) + plane;
      take_as(samples, values, [=](std::int64_t i) { return half_to_float(pixels[i]); });
    } else {
      const auto* pixels = reinterpret_cast<const float*>(x) + plane;
      take_as(samples, values, [=](std::int64_t i) { return pixels[i]; });
    }
  }

  template <typename Pixel>
  void take_as(const Sample* samples, float* values, const Pixel& pixel) const {
    for (std::int64_t j = 0; j < out_width_; ++j) {
      const Sample& sample = samples[j];
      float value = 0.0F;
      for (std::size_t k = 0; k < 4; ++k) {
        if (sample.weights[k] == 0.0F) continue;  // 0 * inf would be NaN.
        const std::int64_t offset = sample.offsets[k];
        value += sample.weights[k] * (offset >= 0 ? pixel(offset) : constant_);
      }
      values[j] = value;
    }
  }

  DType dtype_;
  std::int64_t n_images_;
  std::int64_t channels_;
  std::int64_t height_;
  std::int64_t width_;
  std::int64_t n_outputs_;
  std::int64_t out_height_;
  std::int64_t out_width_;
  float constant_;
};

/// Pixels of [0, n - 1] for a coordinate in [-1, 1] or [0, 1], whose ends are the centres of the
/// outermost pixels (`aligns`) or their outer edges.
double pixel_of(double coordinate, std::int64_t n, const std::string& mode, bool aligns) {
  if (mode == "unnormalized") return coordinate;
  const double part = mode == "normalized_zero_to_one" ? coordinate : (coordinate + 1) / 2;
  const auto size = static_cast<double>(n);
  return aligns ? part * (size - 1) : part * size - 0.5;
}

/// Samples at coordinates [N, H', W', 2], (x, y) each.
class Resample final : public SamplingStep {
 public:
  explicit Resample(const PrepareContext& context)
      : SamplingStep(context.op, context.inputs[0], context.inputs[0].dim(0),
                     context.outputs[0].dim(2), context.outputs[0].dim(3),
                     static_cast<float>(context.op.real("padding_value"))),
        mode_(context.op.string("coordinates_mode")),
        aligns_(context.op.boolean("align_corners")),
        is_nearest_(context.op.string("sampling_mode") == "nearest") {
    const std::string padding = context.op.string("padding_mode");
    padding_ = padding == "constant"     ? Padding::kConstant
               : padding == "border"     ? Padding::kBorder
               : padding == "reflection" ? Padding::kReflection
                                         : Padding::kSymmetric;
  }

 private:
  Sample sample(const StepArguments& arguments, std::int64_t output, std::int64_t i,
                std::int64_t j) const override {
    const TensorView& coordinates = arguments.inputs[1];
    const std::int64_t first = ((output * out_height() + i) * out_width() + j) * 2;
    const double x = load_number(coordinates.dtype, coordinates.data, first);
    const double y = load_number(coordinates.dtype, coordinates.data, first + 1);
    return sample_at(pixel_of(y, height(), mode_, aligns_), pixel_of(x, width(), mode_, aligns_),
                     height(), width(), padding_, is_nearest_);
  }

  std::string mode_;
  bool aligns_;
  bool is_nearest_;
  Padding padding_ = Padding::kConstant;
};

/// Samples at a matrix times the coordinates of the output, both in [-1, 1], corners aligned.
class Affine final : public SamplingStep {
 public:
  explicit Affine(const PrepareContext& context)
      : SamplingStep(context.op, context.inputs[0], context.inputs[0].dim(0),
                     context.outputs[0].dim(2), context.outputs[0].dim(3), 0.0F),
        has_one_matrix_(context.inputs[1].dim(0) == 1) {}

 private:
  /// The only pixel of a line stands at its beginning.
  static double coordinate(std::int64_t i, std::int64_t n) {
    return n > 1 ? 2.0 * static_cast<double>(i) / static_cast<double>(n - 1) - 1.0 : -1.0;
  }

  Sample sample(const StepArguments& arguments, std::int64_t output, std::int64_t i,
                std::int64_t j) const override {
    const TensorView& matrix = arguments.inputs[1];
    const std::int64_t first = has_one_matrix_ ? 0 : 6 * output;
    const auto entry = [&](std::int64_t k) {
      return load_number(matrix.dtype, matrix.data, first + k);
    };
    const double x = coordinate(j, out_width());
    const double y = coordinate(i, out_height());
    const double from_x = entry(0) * x + entry(1) * y + entry(2);
    const double from_y = entry(3) * x + entry(4) * y + entry(5);
    const std::string mode = "normalized_minus_one_to_one";
    return sample_at(pixel_of(from_y, height(), mode, true), pixel_of(from_x, width(), mode, true),
                     height(), width(), Padding::kConstant, false);
  }

  bool has_one_matrix_;
};

/// Resizes regions of images. A sample outside the image is the padding value.
class CropResize final : public SamplingStep {
 public:
  explicit CropResize(const PrepareContext& context)
      : SamplingStep(context.op, context.inputs[0], n_crops(context),
                     context.op.integer("target_height"), context.op.integer("target_width"),
                     static_cast<float>(context.op.real("pad_value"))),
        name_(context.op.operation().display_name()),
        mode_(sampling_mode(context.op.string("sampling_mode"))),
        is_normalized_(context.op.boolean("normalized_coordinates")),
        scale_(context.op.real("spatial_scale")) {
    const std::string boxes = context.op.string("box_coordinate_mode");
    is_height_first_ = boxes == "CORNERS_HEIGHT_FIRST" || boxes == "CENTER_SIZE_HEIGHT_FIRST";
    is_corners_ = boxes == "CORNERS_HEIGHT_FIRST" || boxes == "CORNERS_WIDTH_FIRST";
    const TensorLayout& roi = context.inputs[1];
    if (!(roi.rank < 0)) {
      box_length_ = roi.dim(2);
      images_per_box_ = box_length_ == 5 ? 1 : context.inputs[0].dim(0);
    }
  }

 private:
  enum Operand : std::size_t { kRoi = 1, kBoxes = 2, kBoxIndices = 3 };

  static std::int64_t n_crops(const PrepareContext& context) {
    const TensorLayout& out = context.outputs[0];
    return out.rank == 5 ? out.dim(0) * out.dim(1) : out.dim(0);
  }

  /// Which of the three forms counts the images how: a roi with an index, boxes with box_indices,
  /// a roi for all images or box i of image i.
  std::int64_t image_of(const StepArguments& arguments, std::int64_t output) const override {
    const TensorView& roi = arguments.inputs[kRoi];
    if (!roi.is_absent()) {
      if (box_length_ == 4) return output % images_per_box_;
      const double index = load_number(roi.dtype, roi.data, output * 5);
      return static_cast<std::int64_t>(std::isnan(index) ? -1.0 : std::clamp(index, -1e9, 1e9));
    }
    const TensorView& indices = arguments.inputs[kBoxIndices];
    return indices.is_absent() ? output : load_integer(indices.dtype, indices.data, output);
  }

  void check(const StepArguments& arguments) const override {
    for (std::int64_t i = 0; i < n_outputs(); ++i) {
      const std::int64_t image = image_of(arguments, i);
      if (image >= 0 && image < n_images()) continue;
      throw EvaluateError("crop_resize '" + name_ + "': box " + std::to_string(i) +
                              " must name an image in [0, " + std::to_string(n_images()) +
                              "), got " + std::to_string(image),
                          0);
    }
  }

  struct Interval {
    double begin;
    double end;
  };

  /// Pixel coordinates of the first and last row (or column) of a box.
  Interval interval(const StepArguments& arguments, std::int64_t output, bool is_height) const {
    const TensorView& roi = arguments.inputs[kRoi];
    const TensorView& boxes = roi.is_absent() ? arguments.inputs[kBoxes] : roi;
    const std::int64_t first =
        roi.is_absent() ? output * 4 : output / images_per_box_ * box_length_ + box_length_ - 4;
    const std::int64_t lane = is_height == is_height_first_ ? 0 : 1;
    const double a = load_number(boxes.dtype, boxes.data, first + lane);
    const double b = load_number(boxes.dtype, boxes.data, first + lane + 2);
    Interval result = is_corners_ ? Interval{a, b} : Interval{a - b / 2, a + b / 2};
    const double limit = static_cast<double>((is_height ? height() : width()) - 1);
    const double scale = is_normalized_ ? scale_ * limit : scale_;
    result.begin *= scale;
    result.end *= scale;
    return result;
  }

  double place(const Interval& box, std::int64_t i, std::int64_t n) const {
    const double extent = box.end - box.begin;
    // Aligned corners run from one end to the other, whichever is larger; the rest of the modes
    // stay inside the box.
    const double offset = grid_point(mode_, i, n, extent + 1);
    const bool is_aligned =
        mode_ == SamplingMode::kAlignCorners || mode_ == SamplingMode::kStrictAlignCorners;
    return box.begin + (is_aligned ? offset : std::clamp(offset, 0.0, std::max(extent, 0.0)));
  }

  Sample sample(const StepArguments& arguments, std::int64_t output, std::int64_t i,
                std::int64_t j) const override {
    const double y = place(interval(arguments, output, true), i, out_height());
    const double x = place(interval(arguments, output, false), j, out_width());
    const bool is_inside = y >= 0 && y <= static_cast<double>(height() - 1) && x >= 0 &&
                           x <= static_cast<double>(width() - 1);
    if (!is_inside) return {.offsets = {-1, -1, -1, -1}, .weights = {1, 0, 0, 0}};
    return sample_at(y, x, height(), width(), Padding::kBorder, false);
  }

  std::string name_;
  SamplingMode mode_;
  bool is_normalized_;
  double scale_;
  bool is_height_first_ = true;
  bool is_corners_ = true;
  std::int64_t box_length_ = 4;
  std::int64_t images_per_box_ = 1;
};

template <typename Kernel>
std::unique_ptr<Step> prepare(const PrepareContext& context) {
  return std::make_unique<Kernel>(context);
}

}  // namespace

std::span<const KernelRecord> sampling_kernels() {
  static const KernelRecord records[] = {
      {.op = "affine", .operands = {"x", "transform_matrix"}, .prepare = prepare<Affine>},
      {.op = "crop_resize",
       .operands = {"x", "roi", "boxes", "box_indices"},
       .prepare = prepare<CropResize>},
      {.op = "resample", .operands = {"x", "coordinates"}, .prepare = prepare<Resample>},
  };
  return records;
}

}  // namespace pyane::emulator
