#include "pyane/linalg/product.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/base/half.h"
#include "pyane/linalg/sgemm.h"

namespace pyane::linalg {
namespace {

#if defined(__APPLE__)
constexpr bool kBlasIsFaster = true;
#else
constexpr bool kBlasIsFaster = false;
#endif

void check(const GemmSpec& spec) {
  if (spec.c.dtype != DType::kFp32 || spec.bias != GemmBias::kNone) {
    throw ShapeError("multiply: c must be fp32 and without a bias, got " +
                     std::string(dtype_name(spec.c.dtype)) +
                     (spec.bias == GemmBias::kNone ? "" : " and a bias"));
  }
}

/// An fp32 matrix as BLAS takes it.
struct Dense {
  const float* data;
  Transpose transpose;
  std::int64_t leading;
};

/// @param converted  Memory for an operand that is fp16.
Dense dense(const GemmOperand& x, const char* name, const void* data, std::size_t product,
            std::int64_t rows, std::int64_t cols, std::vector<float>& converted) {
  const bool by_rows = x.col_stride == 1;
  const std::int64_t n = by_rows ? rows : cols;
  const std::int64_t length = by_rows ? cols : rows;
  const std::int64_t stride = by_rows ? x.row_stride : x.col_stride;
  if ((!by_rows && x.row_stride != 1) || stride < length || !x.row_offsets.empty()) {
    throw ShapeError(std::string("multiply: ") + name +
                     " must have contiguous rows or columns, got strides " +
                     std::to_string(x.row_stride) + " and " + std::to_string(x.col_stride));
  }
  const Transpose transpose = by_rows ? Transpose::kNo : Transpose::kYes;
  if (x.dtype == DType::kFp32) {
    return {static_cast<const float*>(data) + x.offsets[product], transpose, stride};
  }
  const auto* halves = static_cast<const half_bits*>(data) + x.offsets[product];
  converted.resize(static_cast<std::size_t>(n * length));
  for (std::int64_t i = 0; i < n; ++i) {
    half_to_float(halves + i * stride, converted.data() + i * length,
                  static_cast<std::size_t>(length));
  }
  return {converted.data(), transpose, std::max<std::int64_t>(1, length)};
}

}  // namespace

void multiply(const GemmSpec& spec, const void* a, const void* b, float* c) {
  if constexpr (kBlasIsFaster) {
    multiply_by_blas(spec, a, b, c);
  } else {
    multiply_packed(spec, a, b, c);
  }
}

void multiply_packed(const GemmSpec& spec, const void* a, const void* b, float* c) {
  check(spec);
  Gemm(spec).run(a, b, nullptr, c);
}

void multiply_by_blas(const GemmSpec& spec, const void* a, const void* b, float* c) {
  check(spec);
  if (spec.c.col_stride != 1) {
    throw ShapeError("multiply: c must have contiguous rows, got a column stride of " +
                     std::to_string(spec.c.col_stride));
  }
  std::vector<float> a_floats;
  std::vector<float> b_floats;
  for (std::size_t i = 0; i < spec.c.offsets.size(); ++i) {
    const Dense left = dense(spec.a, "a", a, i, spec.m, spec.k, a_floats);
    const Dense right = dense(spec.b, "b", b, i, spec.k, spec.n, b_floats);
    sgemm(left.transpose, right.transpose, spec.m, spec.n, spec.k, spec.scale, left.data,
          left.leading, right.data, right.leading, spec.adds_to_c ? 1.0F : 0.0F,
          c + spec.c.offsets[i], spec.c.row_stride);
  }
}

}  // namespace pyane::linalg
