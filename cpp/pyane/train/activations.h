#pragma once

#include <cstddef>
#include <span>

#include "pyane/base/half.h"

// Shape letters in cpp/pyane/train: B sequences of a micro-batch, C channels (model dim), S
// sequence positions, V vocabulary, N = B * S. A [B, C, S] buffer is row-major, S contiguous: the
// ANE layout [B, C, 1, S] without its unit axis.

namespace pyane {

struct ActivationShape {
  std::size_t batch = 1;      ///< B
  std::size_t channels = 0;   ///< C
  std::size_t positions = 0;  ///< S

  std::size_t size() const { return batch * channels * positions; }
};

/// Positions handled together by one task: one fp16 row of a block is two cache lines.
inline constexpr std::size_t kPositionBlock = 64;

/// Read-only numbers stored as fp32 or fp16 (surfaces). Does not own them.
class ConstFloats {
 public:
  ConstFloats(std::span<const float> values) : float_(values.data()), size_(values.size()) {}
  ConstFloats(std::span<const half_bits> values) : half_(values.data()), size_(values.size()) {}

  std::size_t size() const { return size_; }

  /// `n` numbers from `offset` on as fp32: in place, or converted into `scratch`.
  const float* read(std::size_t offset, std::size_t n, float* scratch) const {
    if (float_ != nullptr) return float_ + offset;
    half_to_float(half_ + offset, scratch, n);
    return scratch;
  }

 private:
  const float* float_ = nullptr;
  const half_bits* half_ = nullptr;
  std::size_t size_ = 0;
};

/// Numbers to write, stored as fp32 or fp16. Does not own them.
class Floats {
 public:
  Floats(std::span<float> values) : float_(values.data()), size_(values.size()) {}
  Floats(std::span<half_bits> values) : half_(values.data()), size_(values.size()) {}

  std::size_t size() const { return size_; }

  /// Where to compute what commit() then stores: the place itself, or `scratch`, which holds the
  /// old numbers when `keep_old`.
  float* open(std::size_t offset, std::size_t n, float* scratch, bool keep_old) const {
    if (float_ != nullptr) return float_ + offset;
    if (keep_old) half_to_float(half_ + offset, scratch, n);
    return scratch;
  }

  /// Rounds what was computed at `values` = open(offset, n, ...) to fp16, half to even.
  void commit(std::size_t offset, std::size_t n, const float* values) const {
    if (half_ != nullptr) float_to_half(values, half_ + offset, n);
  }

 private:
  float* float_ = nullptr;
  half_bits* half_ = nullptr;
  std::size_t size_ = 0;
};

/// @throws ShapeError  "<where>: <what> must have <expected> elements <layout>, got <actual>".
void check_size(const char* where, const char* what, const char* layout, std::size_t actual,
                std::size_t expected);

/// @throws ShapeError  when C is 0 or B * C * S does not fit in memory.
void check_shape(const char* where, const ActivationShape& shape);

}  // namespace pyane
