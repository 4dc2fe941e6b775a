#include "pyane/emulator/kernels/float_row.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "pyane/base/half.h"
#include "pyane/emulator/kernels/copy.h"

namespace pyane::emulator {
namespace {

/// Elements gathered at a time where they are not neighbours.
constexpr std::int64_t kPacked = 256;

template <typename T>
T element(const std::byte* data, std::int64_t offset) {
  T value;
  std::memcpy(&value, data + offset * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

}  // namespace

void load_floats(DType dtype, const std::byte* data, std::int64_t offset, std::int64_t stride,
                 std::int64_t n, float* values) {
  if (dtype == DType::kFp32) {
    copy_strided(data + offset * 4, stride, reinterpret_cast<std::byte*>(values), 1,
                 static_cast<std::size_t>(n), 4);
    return;
  }
  const auto* source = reinterpret_cast<const half_bits*>(data) + offset;
  if (stride == 1) return half_to_float(source, values, static_cast<std::size_t>(n));
  std::array<half_bits, kPacked> packed;
  for (std::int64_t i = 0; i < n; i += kPacked) {
    const std::int64_t some = std::min(n - i, kPacked);
    for (std::int64_t j = 0; j < some; ++j) {
      packed[static_cast<std::size_t>(j)] = source[(i + j) * stride];
    }
    half_to_float(packed.data(), values + i, static_cast<std::size_t>(some));
  }
}

void store_floats(const float* values, DType dtype, std::byte* data, std::int64_t offset,
                  std::int64_t stride, std::int64_t n) {
  if (dtype == DType::kFp32) {
    copy_strided(reinterpret_cast<const std::byte*>(values), 1, data + offset * 4, stride,
                 static_cast<std::size_t>(n), 4);
    return;
  }
  auto* target = reinterpret_cast<half_bits*>(data) + offset;
  if (stride == 1) return float_to_half(values, target, static_cast<std::size_t>(n));
  std::array<half_bits, kPacked> packed;
  for (std::int64_t i = 0; i < n; i += kPacked) {
    const std::int64_t some = std::min(n - i, kPacked);
    float_to_half(values + i, packed.data(), static_cast<std::size_t>(some));
    for (std::int64_t j = 0; j < some; ++j) {
      target[(i + j) * stride] = packed[static_cast<std::size_t>(j)];
    }
  }
}

std::int64_t load_integer(DType dtype, const std::byte* data, std::int64_t offset) {
  switch (dtype) {
    case DType::kInt8:
      return element<std::int8_t>(data, offset);
    case DType::kUint8:
    case DType::kBool:
      return element<std::uint8_t>(data, offset);
    case DType::kInt16:
      return element<std::int16_t>(data, offset);
    case DType::kUint16:
      return element<std::uint16_t>(data, offset);
    case DType::kUint32:
      return element<std::uint32_t>(data, offset);
    case DType::kInt64:
    case DType::kUint64:
      return element<std::int64_t>(data, offset);
    default:
      return element<std::int32_t>(data, offset);
  }
}

double load_number(DType dtype, const std::byte* data, std::int64_t offset) {
  if (dtype == DType::kFp16) return double{half_to_float(element<half_bits>(data, offset))};
  if (dtype == DType::kFp32) return double{element<float>(data, offset)};
  return static_cast<double>(load_integer(dtype, data, offset));
}

}  // namespace pyane::emulator
