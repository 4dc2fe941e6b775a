#include "pyane/emulator/kernels/phased_image.h"

#include <algorithm>
#include <string>

#include "pyane/base/divide.h"
#include "pyane/base/error.h"
#include "pyane/emulator/kernels/float_row.h"
#include "pyane/emulator/kernels/rows.h"
#include "pyane/emulator/scratch.h"
#include "pyane/linalg/gemm_kernel.h"

namespace pyane::emulator {
namespace {

/// As of any tensor (planner).
constexpr double kMaxPaddedBytes = static_cast<double>(std::int64_t{1} << 40);

/// Every `stride`-th element; a stride that the compiler knows makes shuffles of the loop.
void pick(const float* x, std::int64_t stride, std::int64_t n, float* values) {
  if (stride == 1) {
    std::copy_n(x, n, values);
  } else if (stride == 2) {
    for (std::int64_t i = 0; i < n; ++i) values[i] = x[2 * i];
  } else {
    for (std::int64_t i = 0; i < n; ++i) values[i] = x[i * stride];
  }
}

}  // namespace

void require_staged_size(const mil::OpContext& op, const TensorLayout& x, const ImageAxes& axes) {
  // Not in integers, which would overflow.
  double bytes = static_cast<double>(x.dim(0)) * static_cast<double>(x.dim(1)) *
                 static_cast<double>(sizeof(float));
  for (const ImageAxis& axis : axes) {
    bytes *= static_cast<double>(axis.phases()) * static_cast<double>(axis.phase_length());
  }
  if (bytes <= kMaxPaddedBytes) return;
  throw CompileError(op.record().name + " '" + op.operation().display_name() +
                     "': the emulator cannot hold x with its padding, which takes about " +
                     std::to_string(bytes / 1e9) + " GB");
}

PhasedImage::PhasedImage(const ImageAxes& axes)
    : axes_(axes), depth_words_(axes[1].phases() * axes[2].phases() * plane_words()) {}

std::vector<std::int64_t> PhasedImage::kernel_offsets() const {
  const auto& [depth, height, width] = axes_;
  const auto depth_at = [&](std::int64_t d) {
    return (d % axes_[0].stride * axes_[0].phase_length() + d / axes_[0].stride) * depth_words_;
  };
  std::vector<std::int64_t> offsets;
  for (std::int64_t kd = 0; kd < depth.kernel; ++kd) {
    for (std::int64_t kh = 0; kh < height.kernel; ++kh) {
      for (std::int64_t kw = 0; kw < width.kernel; ++kw) {
        const std::int64_t h = kh * height.dilation;
        const std::int64_t w = kw * width.dilation;
        const std::int64_t phase = h % height.stride * width.phases() + w % width.stride;
        offsets.push_back(depth_at(kd * depth.dilation) + phase * plane_words() +
                          h / height.stride * pitch() + w / width.stride);
      }
    }
  }
  return offsets;
}

std::vector<std::int64_t> PhasedImage::output_offsets() const {
  const auto& [depth, height, width] = axes_;
  std::vector<std::int64_t> offsets;
  for (std::int64_t d = 0; d < depth.output; ++d) {
    for (std::int64_t h = 0; h < height.output; ++h) {
      for (std::int64_t w = 0; w < width.output; ++w) {
        offsets.push_back(d * depth_words_ + h * pitch() + w);
      }
    }
  }
  return offsets;
}

OutputWalk PhasedImage::walk(std::int64_t lanes) const {
  const auto& [depth, height, width] = axes_;
  const std::int64_t run = (height.output - 1) * pitch() + width.output;
  if (divide_up(run, lanes) <= height.output * divide_up(width.output, lanes)) {
    return {depth.output, run};
  }
  return {depth.output * height.output, width.output};
}

std::int64_t PhasedImage::slice_offset(const OutputWalk& walk, std::int64_t slice) const {
  const std::int64_t rows = walk.n_slices / axes_[0].output;  // 1, or those of a depth.
  return slice / rows * depth_words_ + slice % rows * pitch();
}

std::int64_t PhasedImage::slice_output(const OutputWalk& walk, std::int64_t slice) const {
  const std::int64_t outputs = axes_[1].output * axes_[2].output;
  const std::int64_t rows = walk.n_slices / axes_[0].output;
  return slice / rows * outputs + slice % rows * axes_[2].output;
}

bool PhasedImage::fill_pairs(DType dtype, const std::byte* x, std::int64_t source,
                             float* words) const {
  const ImageAxis& w = axes_[2];
  // Places `first` and on of both phases hold pairs of the input from `skipped` elements on; what
  // is left of them at either end stands alone.
  const std::int64_t first = (w.lead + 1) / 2;
  const std::int64_t skipped = 2 * first - w.lead;
  if (w.lead < 0 || first >= pitch() || skipped > w.input) return false;
  const std::int64_t n = std::min((w.input - skipped) / 2, pitch() - first);
  float* even = words;
  float* odd = words + plane_words();
  std::fill_n(even, first, 0.0F);
  std::fill_n(odd, first, 0.0F);
  const auto element = static_cast<std::int64_t>(dtype_size(dtype));
  if (skipped == 1) load_floats(dtype, x, source, 1, 1, odd + first - 1);
  linalg::active_gemm_kernel().split_pairs(x + (source + skipped) * element, dtype == DType::kFp16,
                                           n, even + first, odd + first);
  const std::int64_t last = first + n;
  std::fill_n(even + last, pitch() - last, 0.0F);
  std::fill_n(odd + last, pitch() - last, 0.0F);
  const std::int64_t used = skipped + 2 * n;
  if (used < w.input && last < pitch()) load_floats(dtype, x, source + used, 1, 1, even + last);
  return true;
}

void PhasedImage::fill_channel(DType dtype, const std::byte* x, std::int64_t first_row,
                               float* words, float* line) const {
  const ImageAxis& w = axes_[2];
  const auto clear = [&](std::int64_t at, std::int64_t n) { std::fill_n(words + at, n, 0.0F); };
  for_each_row_of_channel(
      first_row,
      [&](std::int64_t source, std::int64_t at) {
        if (w.stride == 1 && w.step == 1) {
          const std::int64_t lead = std::clamp<std::int64_t>(w.lead, 0, pitch());
          const std::int64_t first = std::max<std::int64_t>(-w.lead, 0);
          const std::int64_t n = std::clamp<std::int64_t>(w.input - first, 0, pitch() - lead);
          clear(at, lead);
          load_floats(dtype, x, source + first * w.input_stride, w.input_stride, n,
                      words + at + lead);
          clear(at + lead + n, pitch() - lead - n);
          return;
        }
        if (w.stride == 2 && w.step == 1 && w.phases() == 2 && w.input_stride == 1 &&
            fill_pairs(dtype, x, source, words + at)) {
          return;
        }
        load_floats(dtype, x, source, w.input_stride, w.input, line);
        for (std::int64_t phase = 0; phase < w.phases(); ++phase) {
          float* target = words + at + phase * plane_words();
          if (w.step != 1) {
            for (std::int64_t i = 0; i < pitch(); ++i) {
              const std::int64_t from = source_of(w, phase + i * w.stride);
              target[i] = from < 0 ? 0.0F : line[from];
            }
            continue;
          }
          // Place i holds line[i * stride + from], where the line has one.
          const std::int64_t from = phase - w.lead;
          const std::int64_t begin =
              std::clamp<std::int64_t>((w.stride - 1 - from) / w.stride, 0, pitch());
          const std::int64_t end = std::clamp<std::int64_t>(
              w.input > from ? (w.input - from + w.stride - 1) / w.stride : 0, begin, pitch());
          std::fill_n(target, begin, 0.0F);
          pick(line + begin * w.stride + from, w.stride, end - begin, target + begin);
          std::fill_n(target + end, pitch() - end, 0.0F);
        }
      },
      clear);
}

void StagedImages::run(const std::byte* x, float* words) const {
  const std::int64_t width = image.axes()[2].input;
  for_each_row(
      n_images * n_channels, image.channel_words(), [&](std::int64_t begin, std::int64_t end) {
        auto* line = reinterpret_cast<float*>(
            thread_scratch(static_cast<std::size_t>(width) * sizeof(float)));
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t at = i / n_channels * image_stride + i % n_channels * channel_stride;
          image.fill_channel(dtype, x + at * static_cast<std::int64_t>(dtype_size(dtype)), 0,
                             words + i * image.channel_words(), line);
        }
      });
}

}  // namespace pyane::emulator
