#include "pyane/emulator/kernels/rows.h"

#include <algorithm>
#include <array>

#include "pyane/base/half.h"
#include "pyane/emulator/kernels/copy.h"

namespace pyane::emulator {
namespace {

/// The dimensions of `layout` that are (not) among `axes`, others set to one.
IterationSpace part(const TensorLayout& layout, const std::vector<std::int64_t>& axes,
                    bool is_among) {
  TensorLayout kept = layout;
  for (int i = 0; i < layout.rank; ++i) {
    const bool found = std::find(axes.begin(), axes.end(), i) != axes.end();
    if (found != is_among) kept.dims[static_cast<std::size_t>(i)] = 1;
  }
  return IterationSpace(std::span(&kept, 1));
}

}  // namespace

Rows::Rows(const TensorLayout& layout, const std::vector<std::int64_t>& axes)
    : dtype_(layout.dtype),
      kept_(part(layout, axes, false)),
      along_(part(layout, axes, true)),
      n_rows_(kept_.n_rows() * kept_.inner()),
      length_(along_.n_rows() * along_.inner()) {}

std::int64_t Rows::offset(std::int64_t row) const {
  const std::int64_t inner = kept_.inner();
  return RowCursor(kept_, row / inner).offset(0) + row % inner * kept_.inner_stride(0);
}

std::int64_t Rows::element_offset(std::int64_t k) const {
  const std::int64_t inner = along_.inner();
  return RowCursor(along_, k / inner).offset(0) + k % inner * along_.inner_stride(0);
}

bool Rows::prefers_columns() const {
  return kept_.inner_stride(0) == 1 && kept_.inner() >= 16 && along_.inner_stride(0) != 1;
}

/// visit(offset, first, count): evenly spaced pieces of the row.
template <typename Visit>
void Rows::for_each_run(std::int64_t offset, std::int64_t begin, std::int64_t n,
                        const Visit& visit) const {
  const std::int64_t inner = along_.inner();
  const std::int64_t stride = along_.inner_stride(0);
  RowCursor cursor(along_, begin / inner);
  std::int64_t column = begin % inner;
  for (std::int64_t done = 0; done < n;) {
    const std::int64_t count = std::min(inner - column, n - done);
    visit(offset + cursor.offset(0) + column * stride, done, count);
    done += count;
    column = 0;
    cursor.advance();
  }
}

void Rows::load(const std::byte* data, std::int64_t offset, std::int64_t begin, std::int64_t n,
                float* values) const {
  const std::int64_t stride = along_.inner_stride(0);
  for_each_run(offset, begin, n, [&](std::int64_t from, std::int64_t first, std::int64_t count) {
    float* to = values + first;
    if (dtype_ == DType::kFp32) {
      copy_strided(data + from * 4, stride, reinterpret_cast<std::byte*>(to), 1,
                   static_cast<std::size_t>(count), 4);
      return;
    }
    const auto* source = reinterpret_cast<const half_bits*>(data) + from;
    if (stride == 1) return half_to_float(source, to, static_cast<std::size_t>(count));
    std::array<half_bits, 256> packed;
    for (std::int64_t i = 0; i < count;) {
      const std::int64_t some = std::min<std::int64_t>(count - i, packed.size());
      for (std::int64_t j = 0; j < some; ++j) {
        packed[static_cast<std::size_t>(j)] = source[(i + j) * stride];
      }
      half_to_float(packed.data(), to + i, static_cast<std::size_t>(some));
      i += some;
    }
  });
}

void Rows::store(const float* values, std::byte* data, std::int64_t offset, std::int64_t begin,
                 std::int64_t n) const {
  const std::int64_t stride = along_.inner_stride(0);
  for_each_run(offset, begin, n, [&](std::int64_t to, std::int64_t first, std::int64_t count) {
    const float* from = values + first;
    if (dtype_ == DType::kFp32) {
      copy_strided(reinterpret_cast<const std::byte*>(from), 1, data + to * 4, stride,
                   static_cast<std::size_t>(count), 4);
      return;
    }
    auto* target = reinterpret_cast<half_bits*>(data) + to;
    if (stride == 1) return float_to_half(from, target, static_cast<std::size_t>(count));
    std::array<half_bits, 256> packed;
    for (std::int64_t i = 0; i < count;) {
      const std::int64_t some = std::min<std::int64_t>(count - i, packed.size());
      float_to_half(from + i, packed.data(), static_cast<std::size_t>(some));
      for (std::int64_t j = 0; j < some; ++j) {
        target[(i + j) * stride] = packed[static_cast<std::size_t>(j)];
      }
      i += some;
    }
  });
}

std::int64_t Rows::load_integer(const std::byte* data, std::int64_t offset, std::int64_t k) const {
  const std::int64_t i = offset + element_offset(k);
  switch (dtype_) {
    case DType::kInt8:
      return reinterpret_cast<const std::int8_t*>(data)[i];
    case DType::kUint8:
    case DType::kBool:
      return reinterpret_cast<const std::uint8_t*>(data)[i];
    case DType::kInt16:
      return reinterpret_cast<const std::int16_t*>(data)[i];
    case DType::kUint16:
      return reinterpret_cast<const std::uint16_t*>(data)[i];
    default:
      return reinterpret_cast<const std::int32_t*>(data)[i];
  }
}

}  // namespace pyane::emulator
