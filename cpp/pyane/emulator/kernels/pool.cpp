#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "pyane/emulator/kernels/float_row.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/rows.h"
#include "pyane/emulator/kernels/table_limit.h"
#include "pyane/emulator/scratch.h"
#include "pyane/mil/ops/windows.h"

// Pooling: windows are reduced along rows first, then across the rows of a window, so that both
// passes run along memory. The order of a sum depends on the shapes alone.

namespace pyane::emulator {
namespace {

enum class Pooling : std::uint8_t { kAverage, kL2, kMax };

/// Spatial dimensions, filled up with ones in front.
constexpr std::size_t kSpatial = 3;
/// Windows are reduced one by one when there are fewer of them in a row, or when they are wider.
constexpr std::int64_t kFewWindows = 8;
constexpr std::int64_t kWideWindow = 64;
/// Elements that are converted together where a window is the whole image.
constexpr std::int64_t kGlobalElements = 1 << 11;
/// Output elements that are worked on together.
constexpr std::int64_t kBandElements = 1 << 14;

using Windows = std::array<mil::SpatialWindow, kSpatial>;

/// Inputs [begin, end) of a window that lie in the image.
struct Range {
  std::int64_t begin;
  std::int64_t end;
};

Range inside(const mil::SpatialWindow& w, std::int64_t output) {
  const std::int64_t first = output * w.stride - w.pad_before;
  return {std::clamp<std::int64_t>(first, 0, w.input),
          std::clamp<std::int64_t>(first + w.kernel, 0, w.input)};
}

/// What an average divides by, one factor per dimension. Padding counts, unless it is excluded, but
/// not what ceil_mode adds behind it (PyTorch's rule, to which MIL's definition refers).
std::vector<float> divisors(const mil::SpatialWindow& w, bool excludes_padding) {
  std::vector<float> result;
  for (std::int64_t i = 0; i < w.output; ++i) {
    const Range range = inside(w, i);
    const std::int64_t first = i * w.stride - w.pad_before;
    const std::int64_t n = excludes_padding
                               ? range.end - range.begin
                               : std::min(first + w.kernel, w.input + w.pad_after) - first;
    result.push_back(static_cast<float>(std::max<std::int64_t>(n, 1)));
  }
  return result;
}

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

class Pool final : public Step {
 public:
  Pool(const PrepareContext& context, Pooling kind)
      : kind_(kind), table_(tile_table()), dtype_(context.inputs[0].dtype) {
    const TensorLayout& x = context.inputs[0];
    const std::vector<mil::SpatialWindow> windows = mil::spatial_windows(
        context.op, context.op.integers("kernel_sizes"), context.op.boolean("ceil_mode"));
    for (mil::SpatialWindow& w : windows_) w = {.input = 1, .output = 1};
    std::copy(windows.begin(), windows.end(),
              windows_.end() - static_cast<std::ptrdiff_t>(windows.size()));
    for (const mil::SpatialWindow& w : windows_) {
      require_table(context.op, w.output, "window along a dimension");
    }
    n_planes_ = x.dim(0) * x.dim(1);
    if (kind == Pooling::kAverage) {
      const bool excludes = context.op.boolean("exclude_padding_from_average");
      for (std::size_t i = 0; i < kSpatial; ++i) divisors_[i] = divisors(windows_[i], excludes);
    }
    n_elements_ = windows_[0].input * windows_[1].input * windows_[2].input;
    is_global_ = n_elements_ > 0;
    for (const mil::SpatialWindow& w : windows_) {
      is_global_ = is_global_ && w.output == 1 && inside(w, 0).end - inside(w, 0).begin == w.input;
    }
    // A band is a run of outputs along the outermost dimension of an image, or of a volume.
    band_axis_ = windows_[0].output > 1 ? 0 : 1;
    const std::int64_t per_output = windows_[2].output * (band_axis_ == 0 ? windows_[1].output : 1);
    band_ = std::clamp<std::int64_t>(kBandElements / std::max<std::int64_t>(per_output, 1), 1,
                                     windows_[band_axis_].output);
    n_bands_ = (windows_[band_axis_].output + band_ - 1) / band_;
    lay_out_scratch();
  }

  void run(const StepArguments& arguments) const override {
    const std::byte* x = arguments.inputs[0].data;
    std::byte* out = arguments.outputs[0].data;
    if (is_global_) return run_global(x, out);
    std::int64_t cost = band_;
    for (std::size_t i = band_axis_ + 1; i < kSpatial; ++i) cost *= windows_[i].output;
    for_each_row(n_planes_ * n_bands_, cost, [&](std::int64_t begin, std::int64_t end) {
      auto* memory = reinterpret_cast<float*>(thread_scratch(n_scratch_ * sizeof(float)));
      for (std::int64_t i = begin; i < end; ++i) {
        run_band(x, out, i / n_bands_, i % n_bands_ * band_, memory);
      }
    });
  }

 private:
  /// One row with its padding, in `stride` phases so that every element of a window is a contiguous
  /// row of its own; the same row without; the sums; the reduced rows.
  void lay_out_scratch() {
    const mil::SpatialWindow& w = windows_[2];
    is_one_by_one_ = w.output < kFewWindows || w.kernel > kWideWindow;
    phase_length_ = w.output + (w.kernel - 1) / w.stride;
    const std::int64_t phases = is_one_by_one_ ? 0 : phase_length_ * std::min(w.stride, w.kernel);
    std::array<std::int64_t, 2> n_rows{};
    for (std::size_t i = 0; i < 2; ++i) {
      const mil::SpatialWindow& outer = windows_[i];
      const std::int64_t n = i == band_axis_ ? band_ : outer.output;
      n_rows[i] = std::min((n - 1) * outer.stride + outer.kernel, outer.input);
    }
    at_line_ = static_cast<std::size_t>(phases);
    at_total_ = at_line_ + static_cast<std::size_t>(w.input);
    at_rows_ = at_total_ + static_cast<std::size_t>(w.output);
    n_scratch_ = at_rows_ + static_cast<std::size_t>(n_rows[0] * n_rows[1] * w.output);
  }

  float neutral() const {
    return kind_ == Pooling::kMax ? -std::numeric_limits<float>::infinity() : 0.0F;
  }

  void combine(const float* x, float* total, std::int64_t n) const {
    if (kind_ == Pooling::kMax) {
      table_.max_rows(x, total, static_cast<std::size_t>(n));
    } else {
      table_.add_rows(x, total, static_cast<std::size_t>(n));
    }
  }

  /// All windows of one row of the image.
  void reduce_row(const std::byte* x, std::int64_t offset, float* memory, float* result) const {
    const mil::SpatialWindow& w = windows_[2];
    float* line = memory + at_line_;
    load_floats(dtype_, x, offset, 1, w.input, line);
    if (kind_ == Pooling::kL2) {
      for (std::int64_t i = 0; i < w.input; ++i) line[i] *= line[i];
    }
    if (is_one_by_one_) {
      for (std::int64_t i = 0; i < w.output; ++i) {
        const Range range = inside(w, i);
        result[i] = reduce_run(line + range.begin, range.end - range.begin);
      }
      return;
    }
    const std::int64_t n_phases = std::min(w.stride, w.kernel);
    for (std::int64_t phase = 0; phase < n_phases; ++phase) {
      float* values = memory + phase * phase_length_;
      // Element i is line[i * stride + from], where the line has one.
      const std::int64_t from = phase - w.pad_before;
      const std::int64_t begin =
          std::clamp<std::int64_t>((w.stride - 1 - from) / w.stride, 0, phase_length_);
      const std::int64_t end = std::clamp<std::int64_t>(
          w.input > from ? (w.input - from + w.stride - 1) / w.stride : 0, begin, phase_length_);
      std::fill_n(values, begin, neutral());
      pick(line + begin * w.stride + from, w.stride, end - begin, values + begin);
      std::fill_n(values + end, phase_length_ - end, neutral());
    }
    std::fill_n(result, w.output, neutral());
    for (std::int64_t k = 0; k < w.kernel; ++k) {
      combine(memory + k % w.stride * phase_length_ + k / w.stride, result, w.output);
    }
  }

  /// One window over everything: an image is one run, and several are converted together.
  void run_global(const std::byte* x, std::byte* out) const {
    const std::int64_t together = std::max<std::int64_t>(kGlobalElements / n_elements_, 1);
    for_each_row((n_planes_ + together - 1) / together, together * n_elements_,
                 [&](std::int64_t begin, std::int64_t end) {
                   auto* values = reinterpret_cast<float*>(thread_scratch(
                       static_cast<std::size_t>(together * (n_elements_ + 1)) * sizeof(float)));
                   float* totals = values + together * n_elements_;
                   for (std::int64_t first = begin * together;
                        first < std::min(end * together, n_planes_); first += together) {
                     const std::int64_t n = std::min(together, n_planes_ - first);
                     load_floats(dtype_, x, first * n_elements_, 1, n * n_elements_, values);
                     if (kind_ == Pooling::kL2) {
                       for (std::int64_t i = 0; i < n * n_elements_; ++i) values[i] *= values[i];
                     }
                     for (std::int64_t i = 0; i < n; ++i) {
                       totals[i] = reduce_run(values + i * n_elements_, n_elements_);
                       finish(totals + i, 0, 0);
                     }
                     store_floats(totals, dtype_, out, first, 1, n);
                   }
                 });
  }

  float reduce_run(const float* values, std::int64_t n) const {
    if (kind_ == Pooling::kMax) return table_.largest(values, static_cast<std::size_t>(n));
    std::array<float, kSumLanes> lanes{};
    table_.add_to_lanes(values, static_cast<std::size_t>(n), lanes.data());
    return sum_lanes(lanes.data());
  }

  void run_band(const std::byte* x, std::byte* out, std::int64_t plane, std::int64_t first,
                float* memory) const {
    const std::int64_t last = std::min(first + band_, windows_[band_axis_].output);
    std::array<Range, 2> outputs = {Range{0, windows_[0].output}, Range{0, windows_[1].output}};
    outputs[band_axis_] = {first, last};
    std::array<Range, 2> needed{};
    for (std::size_t i = 0; i < 2; ++i) {
      needed[i] = {inside(windows_[i], outputs[i].begin).begin,
                   inside(windows_[i], outputs[i].end - 1).end};
    }
    const std::int64_t width = windows_[2].output;
    const std::int64_t n_high = needed[1].end - needed[1].begin;
    float* rows = memory + at_rows_;
    const auto row_of = [&](std::int64_t d, std::int64_t h) {
      return rows + ((d - needed[0].begin) * n_high + h - needed[1].begin) * width;
    };
    for (std::int64_t d = needed[0].begin; d < needed[0].end; ++d) {
      for (std::int64_t h = needed[1].begin; h < needed[1].end; ++h) {
        const std::int64_t row = (plane * windows_[0].input + d) * windows_[1].input + h;
        reduce_row(x, row * windows_[2].input, memory, row_of(d, h));
      }
    }
    float* total = memory + at_total_;
    for (std::int64_t d = outputs[0].begin; d < outputs[0].end; ++d) {
      for (std::int64_t h = outputs[1].begin; h < outputs[1].end; ++h) {
        std::fill_n(total, width, neutral());
        const Range depth = inside(windows_[0], d);
        const Range height = inside(windows_[1], h);
        for (std::int64_t i = depth.begin; i < depth.end; ++i) {
          for (std::int64_t j = height.begin; j < height.end; ++j) {
            combine(row_of(i, j), total, width);
          }
        }
        finish(total, d, h);
        const std::int64_t row = (plane * windows_[0].output + d) * windows_[1].output + h;
        store_floats(total, dtype_, out, row * width, 1, width);
      }
    }
  }

  void finish(float* total, std::int64_t d, std::int64_t h) const {
    const auto width = static_cast<std::size_t>(windows_[2].output);
    if (kind_ == Pooling::kL2) {
      for (std::size_t i = 0; i < width; ++i) total[i] = std::sqrt(total[i]);
    } else if (kind_ == Pooling::kAverage) {
      const float across =
          divisors_[0][static_cast<std::size_t>(d)] * divisors_[1][static_cast<std::size_t>(h)];
      const float* along = divisors_[2].data();
      for (std::size_t i = 0; i < width; ++i) total[i] /= across * along[i];
    }
  }

  Pooling kind_;
  const TileTable& table_;
  DType dtype_;
  Windows windows_;
  std::array<std::vector<float>, kSpatial> divisors_;
  std::int64_t n_planes_ = 0;
  std::size_t band_axis_ = 1;
  std::int64_t band_ = 1;
  std::int64_t n_bands_ = 1;
  bool is_global_ = false;
  std::int64_t n_elements_ = 0;  ///< Of one image.
  bool is_one_by_one_ = false;
  std::int64_t phase_length_ = 0;
  std::size_t at_line_ = 0;
  std::size_t at_total_ = 0;
  std::size_t at_rows_ = 0;
  std::size_t n_scratch_ = 0;
};

template <Pooling kKind>
std::unique_ptr<Step> prepare(const PrepareContext& context) {
  return std::make_unique<Pool>(context, kKind);
}

}  // namespace

std::span<const KernelRecord> pool_kernels() {
  static const KernelRecord records[] = {
      {.op = "avg_pool", .operands = {"x"}, .prepare = prepare<Pooling::kAverage>},
      {.op = "l2_pool", .operands = {"x"}, .prepare = prepare<Pooling::kL2>},
      {.op = "max_pool", .operands = {"x"}, .prepare = prepare<Pooling::kMax>},
  };
  return records;
}

}  // namespace pyane::emulator
