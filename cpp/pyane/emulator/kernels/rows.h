#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pyane/base/thread_pool.h"
#include "pyane/emulator/iteration.h"
#include "pyane/emulator/tensor_view.h"

namespace pyane::emulator {

/// A tensor as rows along some of its axes: row r of n_rows(), each of length() elements, both in
/// the row-major order of the tensor's indices whatever its strides. What reductions and
/// normalisations walk through.
class Rows {
 public:
  /// @param axes  In [0, rank), without duplicates.
  Rows(const TensorLayout& layout, const std::vector<std::int64_t>& axes);

  std::int64_t n_rows() const { return n_rows_; }
  std::int64_t length() const { return length_; }
  /// First element of row `row`, in elements.
  std::int64_t offset(std::int64_t row) const;

  /// Elements [begin, begin + n) of the row at `offset`, as fp32 (fp16 and fp32 tensors).
  void load(const std::byte* data, std::int64_t offset, std::int64_t begin, std::int64_t n,
            float* values) const;
  /// The reverse; fp16 rounds half to even.
  void store(const float* values, std::byte* data, std::int64_t offset, std::int64_t begin,
             std::int64_t n) const;
  /// One element, for integer tensors.
  std::int64_t load_integer(const std::byte* data, std::int64_t offset, std::int64_t k) const;

  /// Whether neighbouring rows are neighbours in memory while a row's elements are not: then it is
  /// better to work on columns of many rows.
  bool prefers_columns() const;
  /// Rows that follow each other in memory, when prefers_columns().
  std::int64_t rows_per_run() const { return kept_.inner(); }
  /// Offset of element k from its row's first.
  std::int64_t element_offset(std::int64_t k) const;
  DType dtype() const { return dtype_; }

 private:
  template <typename Visit>
  void for_each_run(std::int64_t offset, std::int64_t begin, std::int64_t n,
                    const Visit& visit) const;

  DType dtype_;
  IterationSpace kept_;
  IterationSpace along_;
  std::int64_t n_rows_;
  std::int64_t length_;
};

/// Calls body(begin, end) for ranges that cover [0, n_rows), on the thread pool when there is
/// enough to do. Ranges depend on the two sizes only.
template <typename Body>
void for_each_row(std::int64_t n_rows, std::int64_t length, const Body& body) {
  constexpr std::int64_t kElements = 1 << 14;  // That one thread takes at a time.
  const std::int64_t per_chunk = length >= kElements ? 1 : kElements / (length > 0 ? length : 1);
  const std::int64_t n_chunks = (n_rows + per_chunk - 1) / per_chunk;
  const auto run = [&](std::size_t chunk) {
    const std::int64_t begin = static_cast<std::int64_t>(chunk) * per_chunk;
    const std::int64_t end = begin + per_chunk < n_rows ? begin + per_chunk : n_rows;
    body(begin, end);
  };
  if (n_chunks <= 1) {
    if (n_chunks == 1) run(0);
    return;
  }
  const std::chrono::nanoseconds work(n_rows * length / 2);
  parallel_for(static_cast<std::size_t>(n_chunks), work, run);
}

}  // namespace pyane::emulator
