#pragma once

#include <cstdint>

namespace pyane::linalg {

enum class Transpose : std::uint8_t { kNo, kYes };

/// c = alpha * op(a) @ op(b) + beta * c with op(a) [m, k], op(b) [k, n], c [m, n], fp32, row-major.
///
/// Accelerate on macOS, OpenBLAS from the wheel elsewhere. On OpenBLAS one call runs on the calling
/// thread alone, so that its result is the same every time; calls from several threads run side by
/// side.
///
/// @param lda, ldb, ldc  elements from one row to the next, as stored (before op).
/// @param beta  0: c is overwritten, whatever it holds.
/// @throws ShapeError  negative sizes, a leading dimension shorter than a row, or more than 2^31 -
/// 1
///   of anything.
void sgemm(Transpose transpose_a, Transpose transpose_b, std::int64_t m, std::int64_t n,
           std::int64_t k, float alpha, const float* a, std::int64_t lda, const float* b,
           std::int64_t ldb, float beta, float* c, std::int64_t ldc);

}  // namespace pyane::linalg
