#include "pyane/emulator/kernels/copy.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <utility>

#include "pyane/base/thread_pool.h"
#include "pyane/emulator/iteration.h"

namespace pyane::emulator {
namespace {

/// Elements that one thread copies at a time.
constexpr std::int64_t kGrain = 1 << 14;
/// Transposing is done in squares.
constexpr std::int64_t kSide = 16;

template <typename T>
void copy_as(const std::byte* source, std::int64_t source_stride, std::byte* target,
             std::int64_t target_stride, std::size_t n) {
  const T* from = reinterpret_cast<const T*>(source);
  T* to = reinterpret_cast<T*>(target);
  if (source_stride == 1 && target_stride == 1) {
    std::memcpy(to, from, n * sizeof(T));
  } else if (source_stride == 0 && target_stride == 1) {
    std::fill_n(to, n, *from);
  } else if (target_stride == 1) {
    for (std::size_t i = 0; i < n; ++i) to[i] = from[static_cast<std::int64_t>(i) * source_stride];
  } else {
    for (std::size_t i = 0; i < n; ++i) {
      const auto k = static_cast<std::int64_t>(i);
      to[k * target_stride] = from[k * source_stride];
    }
  }
}

/// A block of rows x columns, both with strides: reads along one axis, writes along the other,
/// in squares that stay in the first-level cache.
template <typename T>
void copy_block(const std::byte* source, std::array<std::int64_t, 2> source_strides,
                std::byte* target, std::array<std::int64_t, 2> target_strides,
                std::array<std::int64_t, 2> dims) {
  const T* from = reinterpret_cast<const T*>(source);
  T* to = reinterpret_cast<T*>(target);
  for (std::int64_t i0 = 0; i0 < dims[0]; i0 += kSide) {
    const std::int64_t i1 = std::min(i0 + kSide, dims[0]);
    for (std::int64_t j0 = 0; j0 < dims[1]; j0 += kSide) {
      const std::int64_t j1 = std::min(j0 + kSide, dims[1]);
      for (std::int64_t i = i0; i < i1; ++i) {
        for (std::int64_t j = j0; j < j1; ++j) {
          to[i * target_strides[0] + j * target_strides[1]] =
              from[i * source_strides[0] + j * source_strides[1]];
        }
      }
    }
  }
}

template <typename Call>
void by_element_size(std::size_t element_bytes, const Call& call) {
  switch (element_bytes) {
    case 1:
      return call(std::uint8_t{});
    case 2:
      return call(std::uint16_t{});
    case 4:
      return call(std::uint32_t{});
    default:
      return call(std::uint64_t{});
  }
}

class Copy final : public Step {
 public:
  Copy(const TensorLayout& source, const TensorLayout& target)
      : space_(std::array{source, target}), element_bytes_(source.element_bytes()) {
    const auto last = static_cast<std::size_t>(space_.rank - 1);
    // Transposing: the source runs along the last but one axis.
    is_transposing_ = space_.rank >= 2 && space_.strides[0][last] != 1 &&
                      space_.strides[0][last] != 0 && space_.strides[0][last - 1] == 1;
    const std::int64_t rows_per_grain =
        std::max<std::int64_t>(kGrain / std::max<std::int64_t>(space_.inner(), 1), 1);
    if (is_transposing_) {
      const std::int64_t rows = space_.dims[last - 1];
      rows_per_unit_ = std::min((rows_per_grain + kSide - 1) / kSide * kSide, rows);
      units_per_matrix_ = (rows + rows_per_unit_ - 1) / std::max<std::int64_t>(rows_per_unit_, 1);
      n_units_ = rows == 0 ? 0 : space_.n_rows() / rows * units_per_matrix_;
    } else {
      n_units_ = space_.n_rows();
    }
    units_per_chunk_ =
        std::max<std::int64_t>(rows_per_grain / std::max<std::int64_t>(rows_per_unit_, 1), 1);
    work_ = std::chrono::nanoseconds(source.count() / (is_strided() ? 1 : 8));
  }

  void run(const StepArguments& arguments) const override {
    const std::byte* source = arguments.inputs[0].data;
    std::byte* target = arguments.outputs[0].data;
    if (space_.inner() == 0 || n_units_ == 0) return;
    if (n_units_ == 1 && !is_transposing_) return run_long_row(source, target);
    const std::int64_t n_chunks = (n_units_ + units_per_chunk_ - 1) / units_per_chunk_;
    const auto body = [&](std::size_t chunk) {
      const std::int64_t begin = static_cast<std::int64_t>(chunk) * units_per_chunk_;
      const std::int64_t end = std::min(begin + units_per_chunk_, n_units_);
      if (is_transposing_) {
        transpose_units(source, target, begin, end);
      } else {
        copy_rows(source, target, begin, end);
      }
    };
    if (n_chunks == 1) return body(0);
    parallel_for(static_cast<std::size_t>(n_chunks), work_, body);
  }

 private:
  bool is_strided() const {
    return is_transposing_ || space_.inner_stride(0) != 1 || space_.inner_stride(1) != 1;
  }

  void run_long_row(const std::byte* source, std::byte* target) const {
    const std::int64_t n = space_.inner();
    const auto body = [&](std::size_t chunk) {
      const std::int64_t begin = static_cast<std::int64_t>(chunk) * kGrain;
      const auto bytes = static_cast<std::int64_t>(element_bytes_);
      copy_strided(source + begin * space_.inner_stride(0) * bytes, space_.inner_stride(0),
                   target + begin * space_.inner_stride(1) * bytes, space_.inner_stride(1),
                   static_cast<std::size_t>(std::min(kGrain, n - begin)), element_bytes_);
    };
    const std::int64_t n_chunks = (n + kGrain - 1) / kGrain;
    if (n_chunks == 1) return body(0);
    parallel_for(static_cast<std::size_t>(n_chunks), work_, body);
  }

  void copy_rows(const std::byte* source, std::byte* target, std::int64_t begin,
                 std::int64_t end) const {
    const auto bytes = static_cast<std::int64_t>(element_bytes_);
    RowCursor cursor(space_, begin);
    for (std::int64_t row = begin; row < end; ++row) {
      copy_strided(source + cursor.offset(0) * bytes, space_.inner_stride(0),
                   target + cursor.offset(1) * bytes, space_.inner_stride(1),
                   static_cast<std::size_t>(space_.inner()), element_bytes_);
      cursor.advance();
    }
  }

  void transpose_units(const std::byte* source, std::byte* target, std::int64_t begin,
                       std::int64_t end) const {
    const auto bytes = static_cast<std::int64_t>(element_bytes_);
    const auto last = static_cast<std::size_t>(space_.rank - 1);
    const std::int64_t rows = space_.dims[last - 1];
    for (std::int64_t unit = begin; unit < end; ++unit) {
      const std::int64_t first = unit % units_per_matrix_ * rows_per_unit_;
      const RowCursor cursor(space_, unit / units_per_matrix_ * rows + first);
      by_element_size(element_bytes_, [&]<typename T>(T) {
        copy_block<T>(source + cursor.offset(0) * bytes,
                      {space_.strides[0][last - 1], space_.strides[0][last]},
                      target + cursor.offset(1) * bytes,
                      {space_.strides[1][last - 1], space_.strides[1][last]},
                      {std::min(rows_per_unit_, rows - first), space_.dims[last]});
      });
    }
  }

  IterationSpace space_;
  std::size_t element_bytes_;
  std::chrono::nanoseconds work_{};
  bool is_transposing_ = false;
  std::int64_t rows_per_unit_ = 1;
  std::int64_t units_per_matrix_ = 1;  ///< Transposing: its rows are cut.
  std::int64_t n_units_ = 1;
  std::int64_t units_per_chunk_ = 1;
};

class BoolCopy final : public Step {
 public:
  explicit BoolCopy(std::int64_t n) : n_(n) {}

  void run(const StepArguments& arguments) const override {
    const auto* from = arguments.inputs[0].as<const std::uint8_t>();
    auto* to = arguments.outputs[0].as<std::uint8_t>();
    for (std::int64_t i = 0; i < n_; ++i) to[i] = from[i] != 0 ? 1 : 0;
  }

 private:
  std::int64_t n_;
};

}  // namespace

void copy_strided(const std::byte* source, std::int64_t source_stride, std::byte* target,
                  std::int64_t target_stride, std::size_t n, std::size_t element_bytes) {
  by_element_size(element_bytes, [&]<typename T>(T) {
    copy_as<T>(source, source_stride, target, target_stride, n);
  });
}

std::unique_ptr<Step> make_copy(const TensorLayout& source, const TensorLayout& target) {
  return std::make_unique<Copy>(source, target);
}

void CopyToMany::add(const TensorLayout& source, const TensorLayout& target,
                     std::int64_t source_offset, std::int64_t target_offset) {
  bytes_ = static_cast<std::int64_t>(source.element_bytes());
  parts_.push_back({make_copy(source, target), source_offset, target_offset});
}

void CopyToMany::run(const StepArguments& arguments) const {
  for (const Part& part : parts_) {
    TensorView from = arguments.inputs[0];
    TensorView to = arguments.outputs[0];
    from.data += part.source_offset * bytes_;
    to.data += part.target_offset * bytes_;
    part.copy->run({.inputs = std::span(&from, 1), .outputs = std::span(&to, 1)});
  }
}

std::unique_ptr<Step> make_bool_copy(const TensorLayout& source, const TensorLayout&) {
  return std::make_unique<BoolCopy>(source.count());
}

}  // namespace pyane::emulator
