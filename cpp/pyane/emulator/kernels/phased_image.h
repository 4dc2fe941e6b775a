#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pyane/base/dtype.h"
#include "pyane/emulator/tensor_view.h"
#include "pyane/mil/op_set.h"

// The image of a convolution with its padding, laid out so that every element of the kernel meets
// neighbouring output positions in neighbouring words of memory, whatever the strides.
//
// Along a dimension of stride s the image is split into s phases: element h goes to place h / s of
// phase h % s. Output position (y, x) and kernel element k then meet at y * pitch + x + offset(k).
// Positions are counted along the padded rows, so that they run on from one row of the output to
// the next; those between two rows of the output are computed and left out when storing.
//
//   words of one channel: [phase of d][d / s][phase of h][phase of w][h / s][w / s]

namespace pyane::emulator {

inline constexpr std::size_t kSpatialDims = 3;

/// One spatial dimension: output position o and kernel element k meet element
/// o * stride + k * dilation of the padded image. Element i of the input is its element
/// lead + i * step, dropped when outside.
struct ImageAxis {
  std::int64_t input = 1;
  std::int64_t input_stride = 0;  ///< In memory, in elements.
  std::int64_t lead = 0;
  std::int64_t step = 1;  ///< Of conv_transpose: zeros in between.
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t dilation = 1;
  std::int64_t output = 1;

  std::int64_t padded() const { return (output - 1) * stride + (kernel - 1) * dilation + 1; }
  std::int64_t phases() const {
    const std::int64_t used = (kernel - 1) * dilation + 1;
    return used < stride ? used : stride;
  }
  std::int64_t phase_length() const { return (padded() + stride - 1) / stride; }
};

using ImageAxes = std::array<ImageAxis, kSpatialDims>;  ///< Innermost last.

/// Large strides make small results of large paddings, so the verifier's bounds do not hold here.
/// @throws CompileError  for a staged image of more than 2^40 bytes.
void require_staged_size(const mil::OpContext& op, const TensorLayout& x, const ImageAxes& axes);

/// Positions of the output that a product walks through.
struct OutputWalk {
  std::int64_t n_slices;     ///< Each with positions of its own.
  std::int64_t n_positions;  ///< Of one slice.
};

class PhasedImage {
 public:
  explicit PhasedImage(const ImageAxes& axes);

  const ImageAxes& axes() const { return axes_; }
  std::int64_t channel_words() const {
    return axes_[0].phases() * axes_[0].phase_length() * depth_words_;
  }
  /// Words from one row of the output to the next.
  std::int64_t pitch() const { return axes_[2].phase_length(); }
  /// Where each element of the kernel begins, the innermost dimension first to change.
  std::vector<std::int64_t> kernel_offsets() const;
  /// Where each position of the output begins, likewise.
  std::vector<std::int64_t> output_offsets() const;

  /// By depth, or by row where the padded rows are so much longer than those of the output that
  /// running on costs more vectors of `lanes` positions.
  OutputWalk walk(std::int64_t lanes) const;
  /// Word of the first position of a slice, and its index in the output.
  std::int64_t slice_offset(const OutputWalk& walk, std::int64_t slice) const;
  std::int64_t slice_output(const OutputWalk& walk, std::int64_t slice) const;

  /// Calls fill_row(source, at) for each padded row with elements of the input, which begin at
  /// element `source` and go to word `at` of phase 0 of the width, and fill_gap(at, n) for words
  /// of padding alone. The image begins at padded row `first_row`.
  template <typename FillRow, typename FillGap>
  void for_each_row_of_channel(std::int64_t first_row, const FillRow& fill_row,
                               const FillGap& fill_gap) const {
    const ImageAxis& depth = axes_[0];
    const ImageAxis& height = axes_[1];
    const std::int64_t row_words = axes_[2].phases() * plane_words();
    for (std::int64_t i = 0; i < depth.phases() * depth.phase_length(); ++i) {
      const std::int64_t from_d = source_of(depth, unphased(depth, i));
      for (std::int64_t j = 0; j < height.phases() * height.phase_length(); ++j) {
        const std::int64_t at = i * depth_words_ + j / height.phase_length() * row_words +
                                j % height.phase_length() * pitch();
        const std::int64_t from_h = source_of(height, first_row + unphased(height, j));
        if (from_d < 0 || from_h < 0) {
          for (std::int64_t w = 0; w < axes_[2].phases(); ++w) {
            fill_gap(at + w * plane_words(), pitch());
          }
        } else {
          fill_row(from_d * depth.input_stride + from_h * height.input_stride, at);
        }
      }
    }
  }

  /// The padded position of place i, counted through the phases.
  static std::int64_t unphased(const ImageAxis& axis, std::int64_t i) {
    return i % axis.phase_length() * axis.stride + i / axis.phase_length();
  }

  /// Words of one phase of the width.
  std::int64_t plane_words() const { return axes_[1].phase_length() * pitch(); }

  /// Element of the input at a padded position, negative for none.
  static std::int64_t source_of(const ImageAxis& axis, std::int64_t padded) {
    const std::int64_t i = padded - axis.lead;
    if (i < 0 || i % axis.step != 0 || i / axis.step >= axis.input) return -1;
    return i / axis.step;
  }

  /// Writes one channel as fp32. `x`: its first element, fp16 or fp32. `line` has room for a row of
  /// the input. The image begins at padded row `first_row`: for bands of a larger one.
  void fill_channel(DType dtype, const std::byte* x, std::int64_t first_row, float* words,
                    float* line) const;

 private:
  /// One row for stride 2, by vectors; false where its shape does not allow it.
  bool fill_pairs(DType dtype, const std::byte* x, std::int64_t source, float* words) const;

  ImageAxes axes_;
  std::int64_t depth_words_ = 0;
};

/// All channels of a batch in that form, as fp32.
struct StagedImages {
  PhasedImage image;
  DType dtype;  ///< kFp16 or kFp32.
  std::int64_t n_images = 0;
  std::int64_t n_channels = 0;
  std::int64_t image_stride = 0;
  std::int64_t channel_stride = 0;

  std::int64_t image_words() const { return n_channels * image.channel_words(); }
  std::int64_t n_words() const { return n_images * image_words(); }
  void run(const std::byte* x, float* words) const;
};

}  // namespace pyane::emulator
