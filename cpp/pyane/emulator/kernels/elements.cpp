#include "pyane/emulator/kernels/elements.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "pyane/base/half.h"

namespace pyane::emulator {
namespace {

template <typename T>
void convert(const std::byte* source, float* values, std::size_t n) {
  const T* from = reinterpret_cast<const T*>(source);
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<float>(from[i]);
}

}  // namespace

void load_floats(DType dtype, const std::byte* source, float* values, std::size_t n) {
  switch (dtype) {
    case DType::kFp16:
      return half_to_float(reinterpret_cast<const half_bits*>(source), values, n);
    case DType::kFp32:
      if (n != 0) std::memcpy(values, source, n * sizeof(float));
      return;
    case DType::kInt4:
    case DType::kInt8:
      return convert<std::int8_t>(source, values, n);
    case DType::kInt16:
      return convert<std::int16_t>(source, values, n);
    case DType::kUint16:
      return convert<std::uint16_t>(source, values, n);
    case DType::kInt32:
      return convert<std::int32_t>(source, values, n);
    case DType::kUint32:
      return convert<std::uint32_t>(source, values, n);
    default:  // uint1 to uint8, bool
      return convert<std::uint8_t>(source, values, n);
  }
}

void store_floats(DType dtype, const float* values, std::byte* target, std::size_t n) {
  if (dtype == DType::kFp16) {
    float_to_half(values, reinterpret_cast<half_bits*>(target), n);
  } else if (n != 0) {
    std::memcpy(target, values, n * sizeof(float));
  }
}

std::vector<float> constant_floats(const TensorView& constant) {
  if (constant.is_absent()) return {};
  std::vector<float> values(static_cast<std::size_t>(constant.count()));
  load_floats(constant.dtype, constant.data, values.data(), values.size());
  return values;
}

}  // namespace pyane::emulator
