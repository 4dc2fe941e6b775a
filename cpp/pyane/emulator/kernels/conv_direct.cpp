#include "pyane/emulator/kernels/conv_direct.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "pyane/base/divide.h"
#include "pyane/base/thread_pool.h"
#include "pyane/emulator/scratch.h"
#include "pyane/linalg/gemm_kernel.h"

namespace pyane::emulator {
namespace {

using Index = std::int64_t;

/// What packing a row of patches costs, in rows of products with it (measured).
constexpr double kPackingRows = 10;
/// Filters whose packed weights stay in the second-level cache are walked through for each tile of
/// positions.
constexpr Index kMaxBlockFloats = 128 << 10;
/// Enough tasks for any number of threads, but none so small that starting it shows.
constexpr Index kWantedTasks = 32;
constexpr Index kMinTaskProducts = 1 << 19;
/// Rows of patches that are multiplied by all filters before the next ones: with a tile's weights
/// they stay in the first-level cache.
constexpr Index kMaxDepth = 160;
constexpr std::size_t kAlign = 64;
/// A larger image is staged band by band, each by the task that reads it and small enough to stay
/// in the second-level cache.
constexpr Index kMaxImageFloats = 256 << 10;
constexpr Index kMaxBandFloats = 96 << 10;
constexpr double kProductsPerNs = 32;

std::size_t aligned_bytes(Index n_floats) {
  return (static_cast<std::size_t>(n_floats) * sizeof(float) + kAlign - 1) / kAlign * kAlign;
}

class DirectConv final : public Step {
 public:
  DirectConv(DirectConvSpec spec, const void* weight)
      : spec_(std::move(spec)), kernel_(linalg::active_gemm_kernel()) {
    cut_into_bands();
    const std::vector<Index> elements = spec_.input.image.kernel_offsets();
    n_k_ = spec_.channels * static_cast<Index>(elements.size());
    k_offsets_.reserve(static_cast<std::size_t>(n_k_));
    for (Index c = 0; c < spec_.channels; ++c) {
      for (const Index offset : elements) {
        k_offsets_.push_back(c * spec_.input.image.channel_words() + offset);
      }
    }
    // Tiles of equal height: a narrow one at the end would wait for its own sums.
    n_tiles_ = divide_up(spec_.filters, kernel_.direct_mr);
    height_ = divide_up(spec_.filters, std::max<Index>(n_tiles_, 1));
    n_tiles_ = height_ == 0 ? 0 : divide_up(spec_.filters, height_);
    columns_ = kernel_.direct_columns(static_cast<int>(std::max<Index>(height_, 1)));
    depth_ = std::max<Index>(divide_up(n_k_, std::max<Index>(divide_up(n_k_, kMaxDepth), 1)), 1);
    walk_ = spec_.input.image.walk(columns_);
    n_panels_ = divide_up(walk_.n_positions, columns_);

    const Index tile_floats = std::max<Index>(n_k_ * kernel_.direct_mr, 1);
    n_blocks_ = divide_up(n_tiles_, std::clamp<Index>(kMaxBlockFloats / tile_floats, 1,
                                                      std::max<Index>(n_tiles_, 1)));
    block_ = n_blocks_ == 0 ? 0 : divide_up(n_tiles_, n_blocks_);
    n_blocks_ = block_ == 0 ? 0 : divide_up(n_tiles_, block_);
    const Index outer = spec_.input.n_images * spec_.groups * walk_.n_slices * n_blocks_;
    const Index panel_products = std::max<Index>(columns_ * block_ * height_ * n_k_, 1);
    panels_per_task_ = std::clamp<Index>(
        std::max(n_panels_ * outer / kWantedTasks, divide_up(kMinTaskProducts, panel_products)), 1,
        std::max<Index>(n_panels_, 1));
    n_slice_tasks_ = walk_.n_slices;
    if (is_banded_) {  // A band is staged once.
      n_slice_tasks_ = 1;
      panels_per_task_ = n_panels_;
      block_ = n_tiles_;
      n_blocks_ = 1;
    }
    n_runs_ = divide_up(n_panels_, panels_per_task_);
    const Index n_sums =
        spec_.input.n_images * spec_.groups * n_bands_ * walk_.n_slices * n_panels_ * columns_;
    work_ = estimated_work(static_cast<double>(n_sums) * static_cast<double>(spec_.filters * n_k_) /
                           kProductsPerNs);

    // The last tile of columns reads on behind the image.
    image_bytes_ = aligned_bytes(
        (is_banded_ ? spec_.channels * geometry().channel_words() : spec_.input.n_words()) +
        columns_);
    if (weight != nullptr) {
      packed_.resize(static_cast<std::size_t>(packed_floats()));
      pack(weight, packed_.data());
    }
  }

  void run(const StepArguments& arguments) const override {
    auto* image = reinterpret_cast<float*>(arguments.scratch);
    const std::byte* x = arguments.inputs[0].data;
    if (!is_banded_) {
      spec_.input.run(x, image);
      // What the last tile reads behind it takes no part, but should be no slow numbers either.
      std::fill_n(image + spec_.input.n_words(), columns_, 0.0F);
    }
    const float* packed = packed_.data();
    if (packed_.empty()) {
      auto* target = reinterpret_cast<float*>(arguments.scratch + shared_image_bytes());
      pack(arguments.inputs[1].data, target);
      packed = target;
    }
    const TensorView& bias = arguments.inputs[2];
    const Index tasks =
        spec_.input.n_images * spec_.groups * n_bands_ * n_slice_tasks_ * n_blocks_ * n_runs_;
    parallel_for(static_cast<std::size_t>(tasks), work_, [&](std::size_t task) {
      run_task(static_cast<Index>(task), x, image, packed, spec_.has_bias ? bias.data : nullptr,
               arguments.outputs[0].data);
    });
  }

  std::size_t scratch_bytes() const override {
    return shared_image_bytes() + (packed_.empty() ? aligned_bytes(packed_floats()) : 0);
  }
  bool reads_input(std::size_t i) const override { return i != 1 || packed_.empty(); }

 private:
  const PhasedImage& geometry() const { return spec_.input.image; }
  std::size_t shared_image_bytes() const { return is_banded_ ? 0 : image_bytes_; }

  /// Replaces the image by a band of it, of some rows of the output.
  void cut_into_bands() {
    ImageAxes axes = geometry().axes();
    n_rows_ = axes[1].output;
    band_rows_ = n_rows_;
    if (axes[0].output != 1 || n_rows_ == 1 ||
        spec_.input.n_images * spec_.input.image_words() <= kMaxImageFloats) {
      return;
    }
    const Index row_words = geometry().pitch() * axes[2].phases() * spec_.channels * axes[0].kernel;
    // What neighbouring bands share is staged twice: at least as much again of its own.
    const Index shared = (axes[1].kernel - 1) * axes[1].dilation;
    const Index rows = kMaxBandFloats / std::max<Index>(row_words, 1) - shared;
    if (rows < shared + axes[1].stride) return;
    is_banded_ = true;
    n_bands_ = divide_up(n_rows_, std::clamp<Index>(rows / axes[1].stride, 1, n_rows_));
    band_rows_ = divide_up(n_rows_, n_bands_);
    n_bands_ = divide_up(n_rows_, band_rows_);
    axes[1].output = band_rows_;
    spec_.input.image = PhasedImage(axes);
  }

  Index tile_floats() const { return n_k_ * kernel_.direct_mr; }
  Index packed_floats() const { return spec_.groups * n_tiles_ * tile_floats(); }

  void pack(const void* weight, float* target) const {
    const WeightLayout& w = spec_.weight;
    const Index element = static_cast<Index>(dtype_size(w.dtype));
    const std::chrono::nanoseconds work(packed_floats());
    parallel_for(static_cast<std::size_t>(spec_.groups * n_tiles_), work, [&](std::size_t task) {
      const auto i = static_cast<Index>(task);
      const Index first = i % n_tiles_ * height_;
      const Index at =
          w.group_offsets[static_cast<std::size_t>(i / n_tiles_)] + first * w.filter_stride;
      kernel_.pack_direct({.data = static_cast<const std::byte*>(weight) + at * element,
                           .is_half = w.dtype == DType::kFp16,
                           .lane_stride = w.filter_stride,
                           .k_stride = 0,
                           .lane_offsets = nullptr,
                           .k_offsets = w.k_offsets.data()},
                          static_cast<int>(std::min(height_, spec_.filters - first)), n_k_,
                          target + i * tile_floats());
    });
  }

  void run_task(Index task, const std::byte* x, const float* image, const float* packed,
                const std::byte* bias, std::byte* out) const {
    const Index run = task % n_runs_;
    const Index block = task / n_runs_ % n_blocks_;
    const Index slice_of_task = task / n_runs_ / n_blocks_ % n_slice_tasks_;
    const Index part = task / n_runs_ / n_blocks_ / n_slice_tasks_;
    const Index band = part % n_bands_;
    const Index group = part / n_bands_ % spec_.groups;
    const Index n = part / n_bands_ / spec_.groups;

    // Storing reads whole vectors, from any column on.
    const Index sums_floats = (block_ * height_ + 1) * columns_;
    const Index line_floats = is_banded_ ? geometry().axes()[2].input : 0;
    std::byte* own = thread_scratch(aligned_bytes(sums_floats) + aligned_bytes(line_floats) +
                                    (is_banded_ ? image_bytes_ : 0));
    auto* sums = reinterpret_cast<float*>(own);
    const float* words =
        image + n * spec_.input.image_words() + group * spec_.channels * geometry().channel_words();
    if (is_banded_) {
      own += aligned_bytes(sums_floats);
      auto* staged = reinterpret_cast<float*>(own + aligned_bytes(line_floats));
      stage_band(x, n, group, band * band_rows_, reinterpret_cast<float*>(own), staged);
      words = staged;
    }
    const Index out_at = n * spec_.out_image_stride +
                         group * spec_.filters * spec_.out_channel_stride +
                         band * band_rows_ * geometry().axes()[2].output;

    // The last band may have fewer rows: fewer slices, or fewer positions of its only one.
    const Index rows_of_band = std::min(band_rows_, n_rows_ - band * band_rows_);
    const bool is_by_row = walk_.n_slices == geometry().axes()[0].output * band_rows_;
    Index last_slice = is_banded_ && is_by_row ? rows_of_band : walk_.n_slices;
    Index n_positions = walk_.n_positions;
    if (!is_by_row) n_positions -= (band_rows_ - rows_of_band) * geometry().pitch();
    Index first_slice = 0;
    if (n_slice_tasks_ > 1) {
      first_slice = slice_of_task;
      last_slice = slice_of_task + 1;
    }

    const Index last_tile = std::min((block + 1) * block_, n_tiles_);
    const Index last_panel =
        std::min((run + 1) * panels_per_task_, divide_up(n_positions, columns_));
    for (Index slice = first_slice; slice < last_slice; ++slice) {
      const float* slice_words = words + geometry().slice_offset(walk_, slice);
      const Index slice_out = out_at + geometry().slice_output(walk_, slice);
      for (Index panel = run * panels_per_task_; panel < last_panel; ++panel) {
        const Index position = panel * columns_;
        const auto cols = static_cast<int>(std::min(columns_, n_positions - position));
        multiply(packed + group * n_tiles_ * tile_floats(), slice_words + position, block * block_,
                 last_tile, cols, sums);
        store(sums, block * block_ * height_, std::min(last_tile * height_, spec_.filters),
              position, cols, slice_out, out, bias, group * spec_.filters);
      }
    }
  }

  /// Sums of one panel of positions with tiles [first, last).
  void multiply(const float* packed, const float* words, Index first, Index last, int cols,
                float* sums) const {
    for (Index k = 0; k < std::max<Index>(n_k_, 1); k += depth_) {
      for (Index tile = first; tile < last; ++tile) {
        const auto rows = static_cast<int>(std::min(height_, spec_.filters - tile * height_));
        kernel_.multiply_direct(std::min(depth_, n_k_ - k),
                                packed + tile * tile_floats() + k * kernel_.direct_mr, words,
                                k_offsets_.data() + k, sums + (tile - first) * height_ * columns_,
                                columns_, rows, cols, k > 0);
      }
    }
  }

  /// Channels of one group, from padded row `first_row` of the band's first output on.
  void stage_band(const std::byte* x, Index n, Index group, Index first_output, float* line,
                  float* staged) const {
    const StagedImages& input = spec_.input;
    const auto element = static_cast<Index>(dtype_size(input.dtype));
    const Index size = geometry().channel_words();
    for (Index c = 0; c < spec_.channels; ++c) {
      const Index at = n * input.image_stride + (group * spec_.channels + c) * input.channel_stride;
      geometry().fill_channel(input.dtype, x + at * element,
                              first_output * geometry().axes()[1].stride, staged + c * size, line);
    }
    std::fill_n(staged + spec_.channels * size, columns_, 0.0F);
  }

  /// Stores those of `cols` positions from `position` on that belong to the output, of filters
  /// [first, last).
  void store(const float* sums, Index first, Index last, Index position, Index cols, Index out_at,
             std::byte* out, const std::byte* bias, Index first_bias) const {
    const Index pitch = spec_.input.image.pitch();
    const Index width = spec_.input.image.axes()[2].output;
    linalg::GemmTarget target{.data = nullptr,
                              .is_half = spec_.out_dtype == DType::kFp16,
                              .row_stride = spec_.out_channel_stride,
                              .col_stride = 1,
                              .bias = nullptr,
                              .bias_is_half = spec_.bias_dtype == DType::kFp16,
                              .bias_is_per_row = true};
    const Index element = target.is_half ? 2 : 4;
    const Index bias_element = target.bias_is_half ? 2 : 4;
    Index y = position / pitch;
    Index x = position % pitch;
    for (Index column = 0; column < cols;) {
      // Up to the end of the row, and of what was computed.
      const Index n = std::min(pitch - x, cols - column);
      for (Index filter = first; x < width && filter < last; filter += kernel_.direct_mr) {
        target.data = out + (out_at + filter * spec_.out_channel_stride + y * width + x) * element;
        if (bias != nullptr) target.bias = bias + (first_bias + filter) * bias_element;
        kernel_.store_direct(sums + (filter - first) * columns_ + column, columns_,
                             static_cast<int>(std::min<Index>(kernel_.direct_mr, last - filter)),
                             static_cast<int>(std::min(n, width - x)), target);
      }
      column += n;
      x += n;
      if (x == pitch) {
        x = 0;
        ++y;
      }
    }
  }

  DirectConvSpec spec_;
  const linalg::GemmKernel& kernel_;
  std::vector<Index> k_offsets_;
  std::vector<float> packed_;
  Index n_k_ = 0;
  Index height_ = 0;  ///< Filters of a tile.
  Index n_tiles_ = 0;
  Index block_ = 0;  ///< Tiles of a task.
  Index n_blocks_ = 0;
  Index columns_ = 0;  ///< Positions of a tile.
  Index depth_ = 1;    ///< Rows of patches that are multiplied before the next ones.
  OutputWalk walk_{};
  Index n_panels_ = 0;  ///< Of one slice.
  Index panels_per_task_ = 1;
  Index n_runs_ = 0;
  Index n_slice_tasks_ = 1;
  bool is_banded_ = false;
  Index n_bands_ = 1;
  Index band_rows_ = 1;  ///< Of the output.
  Index n_rows_ = 1;
  std::size_t image_bytes_ = 0;
  std::chrono::nanoseconds work_{};
};

}  // namespace

bool direct_conv_pays(const DirectConvSpec& spec) {
  if (spec.filters == 0 || spec.input.n_words() == 0) return false;
  const linalg::GemmKernel& kernel = linalg::active_gemm_kernel();
  const Index height = divide_up(spec.filters, divide_up(spec.filters, kernel.direct_mr));
  const Index columns = kernel.direct_columns(static_cast<int>(height));
  const OutputWalk walk = spec.input.image.walk(columns);
  Index outputs = 1;
  for (const ImageAxis& axis : spec.input.image.axes()) outputs *= axis.output;
  if (outputs == 0) return false;
  const Index computed = walk.n_slices * divide_up(walk.n_positions, kernel.lanes) * kernel.lanes;
  const double waste = static_cast<double>(computed) / static_cast<double>(outputs) - 1;
  return waste * static_cast<double>(spec.filters) < kPackingRows;
}

std::unique_ptr<Step> make_direct_conv(DirectConvSpec spec, const void* weight) {
  return std::make_unique<DirectConv>(std::move(spec), weight);
}

}  // namespace pyane::emulator
