#include "pyane/emulator/kernels/sampling_grid.h"

#include <algorithm>
#include <cmath>

namespace pyane::emulator {

SamplingMode sampling_mode(const std::string& name) {
  if (name == "STRICT_ALIGN_CORNERS") return SamplingMode::kStrictAlignCorners;
  if (name == "ALIGN_CORNERS") return SamplingMode::kAlignCorners;
  if (name == "OFFSET_CORNERS") return SamplingMode::kOffsetCorners;
  if (name == "UNALIGN_CORNERS") return SamplingMode::kUnalignCorners;
  return SamplingMode::kDefault;
}

double grid_point(SamplingMode mode, std::int64_t i, std::int64_t n, double extent) {
  const auto at = static_cast<double>(i);
  const auto count = static_cast<double>(n);
  switch (mode) {
    case SamplingMode::kDefault:
      return at * extent / count;
    case SamplingMode::kStrictAlignCorners:
      return n > 1 ? at * (extent - 1) / (count - 1) : 0.0;
    case SamplingMode::kAlignCorners:
      return n > 1 ? at * (extent - 1) / (count - 1) : (extent - 1) / 2;
    case SamplingMode::kOffsetCorners:
      return (at + 0.5) * std::max(1.0, extent - 1) / count;
    case SamplingMode::kUnalignCorners:
      return (at + 0.5) * extent / count - 0.5;
  }
  return at;
}

Between between(double at, std::int64_t n) {
  const double clamped = std::clamp(at, 0.0, static_cast<double>(n - 1));
  const double low = std::floor(clamped);
  const auto index = static_cast<std::int64_t>(low);
  const auto weight = static_cast<float>(clamped - low);
  return {.low = index, .high = weight > 0 ? index + 1 : index, .weight = weight};
}

}  // namespace pyane::emulator
