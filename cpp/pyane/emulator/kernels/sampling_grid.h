#pragma once

#include <cstdint>
#include <string>

namespace pyane::emulator {

/// Where MIL's resizing operations take their samples (`sampling_mode`).
enum class SamplingMode : std::uint8_t {
  kDefault,
  kStrictAlignCorners,
  kAlignCorners,
  kOffsetCorners,
  kUnalignCorners,
};

/// @param name  As in MIL text; the verifier has checked it.
SamplingMode sampling_mode(const std::string& name);

/// Sample `i` of `n` on an interval of `extent` elements that begins at 0, not yet clamped to
/// [0, extent - 1]. `extent` is a fraction for regions of an image.
///
/// Source: Apple's definition of resize_bilinear (coremltools, iOS15 image_resizing).
double grid_point(SamplingMode mode, std::int64_t i, std::int64_t n, double extent);

/// A sample between two neighbours: (1 - weight) * low + weight * high.
struct Between {
  std::int64_t low;
  std::int64_t high;
  float weight;
};

/// `at` clamped to [0, n - 1]; `high` equals `low` where the weight is 0.
Between between(double at, std::int64_t n);

}  // namespace pyane::emulator
