#include "pyane/emulator/kernels/tile.h"

#include <cmath>
#include <limits>

#include "pyane/base/cpu.h"

namespace pyane::emulator {

float sum_lanes(const float* lanes, std::size_t stride) {
  std::array<float, kSumLanes> sums;
  for (std::size_t i = 0; i < kSumLanes; ++i) sums[i] = lanes[i * stride];
  for (std::size_t width = kSumLanes / 2; width > 0; width /= 2) {
    for (std::size_t i = 0; i < width; ++i) sums[i] += sums[i + width];
  }
  return sums[0];
}

float reduced_value(float value, bool is_extreme) {
  if (std::isnan(value)) return std::numeric_limits<float>::quiet_NaN();
  return is_extreme ? value + 0.0F : value;
}

const TileTable& tile_table() {
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAvx512:
      return tile_table_avx512();
    case Isa::kAvx2:
      return tile_table_avx2();
#endif
    default:
      return tile_table_generic();
  }
}

}  // namespace pyane::emulator
