#include "pyane/emulator/hardware/values.h"

namespace pyane::emulator::hardware {

void replace_nans(DType dtype, std::byte* data, std::size_t n_bytes) {
  const std::size_t n = n_bytes / dtype_size(dtype);
  if (dtype == DType::kFp16) {
    constexpr half_bits kInfinity = 0x7C00U;
    auto* values = reinterpret_cast<half_bits*>(data);
    for (std::size_t i = 0; i < n; ++i) {
      if ((values[i] & 0x7FFFU) > kInfinity) values[i] = kInfinity;
    }
  } else if (dtype == DType::kFp32) {
    auto* values = reinterpret_cast<float*>(data);
    for (std::size_t i = 0; i < n; ++i) {
      if (std::isnan(values[i])) values[i] = std::numeric_limits<float>::infinity();
    }
  }
}

}  // namespace pyane::emulator::hardware
