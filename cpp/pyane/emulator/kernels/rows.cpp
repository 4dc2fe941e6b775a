#include "pyane/emulator/kernels/rows.h"

#include <algorithm>

#include "pyane/emulator/kernels/float_row.h"

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
  for_each_run(offset, begin, n, [&](std::int64_t from, std::int64_t first, std::int64_t count) {
    load_floats(dtype_, data, from, along_.inner_stride(0), count, values + first);
  });
}

void Rows::store(const float* values, std::byte* data, std::int64_t offset, std::int64_t begin,
                 std::int64_t n) const {
  for_each_run(offset, begin, n, [&](std::int64_t to, std::int64_t first, std::int64_t count) {
    store_floats(values + first, dtype_, data, to, along_.inner_stride(0), count);
  });
}

std::int64_t Rows::load_integer(const std::byte* data, std::int64_t offset, std::int64_t k) const {
  return emulator::load_integer(dtype_, data, offset + element_offset(k));
}

}  // namespace pyane::emulator
