#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <utility>
#include <vector>

#include "check.h"
#include "pyane/base/cpu.h"
#include "pyane/base/error.h"
#include "pyane/base/half.h"
#include "pyane/base/thread_pool.h"
#include "pyane/linalg/gemm.h"
#include "pyane/linalg/product.h"

// Every instruction set of this CPU, layout and dtype against sums in double, and the same bits for
// every number of threads. Shapes that real operations give are tested from Python.

namespace {

std::atomic<int> n_allocations{0};

}  // namespace

// Counts what `run` allocates.
void* operator new(std::size_t size) {
  ++n_allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using pyane::DType;
using pyane::linalg::Gemm;
using pyane::linalg::GemmBias;
using pyane::linalg::GemmOperand;
using pyane::linalg::GemmSpec;
using pyane::linalg::multiply_by_blas;
using pyane::linalg::multiply_packed;

std::mt19937 rng(1);

/// Values and their storage; `rows` x `cols` x batch in one of several layouts.
struct Matrix {
  GemmOperand operand;
  std::vector<std::byte> memory;
  std::int64_t rows;
  std::int64_t cols;

  double get(std::size_t product, std::int64_t i, std::int64_t j) const {
    const auto at = static_cast<std::size_t>(place(product, i, j));
    if (operand.dtype == DType::kFp16) {
      pyane::half_bits value;
      std::memcpy(&value, memory.data() + at * 2, 2);
      return static_cast<double>(pyane::half_to_float(value));
    }
    float value;
    std::memcpy(&value, memory.data() + at * 4, 4);
    return static_cast<double>(value);
  }

  std::int64_t place(std::size_t product, std::int64_t i, std::int64_t j) const {
    const std::int64_t base = operand.offsets[product];
    if (operand.row_offsets.empty()) {
      return base + i * operand.row_stride + j * operand.col_stride;
    }
    return base + operand.row_offsets[static_cast<std::size_t>(i)] +
           operand.col_offsets[static_cast<std::size_t>(j)];
  }
};

enum class Layout { kRows, kCols, kGaps, kScattered };

Matrix make_matrix(Layout layout, DType dtype, std::int64_t rows, std::int64_t cols,
                   std::int64_t n_matrices, std::size_t batch) {
  Matrix x{.operand = {.dtype = dtype}, .memory = {}, .rows = rows, .cols = cols};
  const std::int64_t gap = 3;
  const std::int64_t size = 2 * (rows + gap) * (cols + gap) + 16;
  switch (layout) {
    case Layout::kRows:
      x.operand.row_stride = cols + gap;
      x.operand.col_stride = 1;
      break;
    case Layout::kCols:
      x.operand.row_stride = 1;
      x.operand.col_stride = rows + gap;
      break;
    case Layout::kGaps:
      x.operand.row_stride = 2 * cols + gap;
      x.operand.col_stride = 2;
      break;
    case Layout::kScattered: {
      for (std::int64_t i = 0; i < rows; ++i) x.operand.row_offsets.push_back(i * (cols + gap));
      for (std::int64_t j = 0; j < cols; ++j) x.operand.col_offsets.push_back(j + (j > 5 ? 2 : 0));
      break;
    }
  }
  x.operand.offsets.clear();
  for (std::size_t p = 0; p < batch; ++p) {
    x.operand.offsets.push_back(static_cast<std::int64_t>(p) % n_matrices * size);
  }
  std::normal_distribution<float> normal;
  const auto n = static_cast<std::size_t>(size * n_matrices);
  x.memory.resize(n * pyane::dtype_size(dtype));
  for (std::size_t i = 0; i < n; ++i) {
    const float value = normal(rng);
    if (dtype == DType::kFp16) {
      const pyane::half_bits half = pyane::float_to_half(value);
      std::memcpy(x.memory.data() + i * 2, &half, 2);
    } else {
      std::memcpy(x.memory.data() + i * 4, &value, 4);
    }
  }
  return x;
}

struct Case {
  std::int64_t m;
  std::int64_t n;
  std::int64_t k;
  Layout a = Layout::kRows;
  Layout b = Layout::kRows;
  Layout c = Layout::kRows;
  DType dtype = DType::kFp16;
  DType c_dtype = DType::kFp16;
  std::size_t batch = 1;
  std::int64_t a_matrices = 1;
  std::int64_t b_matrices = 1;
  GemmBias bias = GemmBias::kNone;
  bool packs = false;
  float scale = 1.0F;
  bool adds_to_c = false;
};

void run_case(const Case& test) {
  const Matrix a = make_matrix(test.a, test.dtype, test.m, test.k, test.a_matrices, test.batch);
  const Matrix b = make_matrix(test.b, test.dtype, test.k, test.n, test.b_matrices, test.batch);
  Matrix c = make_matrix(test.c, test.c_dtype, test.m, test.n,
                         static_cast<std::int64_t>(test.batch), test.batch);
  const Matrix old = c;
  const Matrix bias =
      make_matrix(Layout::kRows, test.dtype, 1, std::max(test.m, test.n), 1, test.batch);
  GemmSpec spec{.m = test.m, .n = test.n, .k = test.k};
  spec.a = a.operand;
  spec.b = b.operand;
  spec.c = c.operand;
  spec.bias = test.bias;
  spec.bias_dtype = test.dtype;
  spec.scale = test.scale;
  spec.adds_to_c = test.adds_to_c;
  Gemm gemm(spec);
  const void* a_data = a.memory.data();
  const void* b_data = b.memory.data();
  if (test.packs) {
    if (gemm.pack_a(a_data)) a_data = nullptr;
    if (gemm.pack_b(b_data)) b_data = nullptr;
  }
  const std::vector<std::byte> before = c.memory;
  std::vector<std::byte> scratch(gemm.scratch_bytes() + 64);
  std::vector<std::byte> first;
  for (const int threads : {1, 2, 3, 4}) {
    pyane::set_num_threads(threads);
    c.memory = before;
    void* aligned = scratch.data();
    std::size_t space = scratch.size();
    std::align(64, gemm.scratch_bytes(), aligned, space);
    gemm.run(a_data, b_data, bias.memory.data(), c.memory.data(), static_cast<std::byte*>(aligned));
    if (threads == 1) {
      first = c.memory;
      c.memory = before;
      n_allocations = 0;
      gemm.run(a_data, b_data, bias.memory.data(), c.memory.data(),
               static_cast<std::byte*>(aligned));
      CHECK(n_allocations == 0);
    }
    CHECK(c.memory == first);
  }

  // One rounding to c's dtype, and fp32 sums of k + 1 terms.
  const double eps = test.c_dtype == DType::kFp16 ? 0x1p-11 : 0x1p-24;
  std::vector<bool> is_written(c.memory.size() / pyane::dtype_size(test.c_dtype), false);
  for (std::size_t p = 0; p < test.batch; ++p) {
    for (std::int64_t i = 0; i < test.m; ++i) {
      for (std::int64_t j = 0; j < test.n; ++j) {
        double sum = 0;
        double size = 0;
        for (std::int64_t l = 0; l < test.k; ++l) {
          const double product = a.get(p, i, l) * b.get(p, l, j);
          sum += product;
          size += std::abs(product);
        }
        sum *= static_cast<double>(test.scale);
        size *= std::abs(static_cast<double>(test.scale));
        if (test.adds_to_c) {
          sum += old.get(p, i, j);
          size += std::abs(old.get(p, i, j));
        }
        if (test.bias != GemmBias::kNone) {
          const double add = bias.get(0, 0, test.bias == GemmBias::kPerRow ? i : j);
          sum += add;
          size += std::abs(add);
        }
        const double bound =
            eps * std::abs(sum) + 2 * 0x1p-24 * static_cast<double>(test.k + 2) * size + 0x1p-25;
        CHECK(std::abs(c.get(p, i, j) - sum) <= bound);
        is_written[static_cast<std::size_t>(c.place(p, i, j))] = true;
      }
    }
  }
  // Nothing else was touched.
  const std::size_t width = pyane::dtype_size(test.c_dtype);
  for (std::size_t i = 0; i < is_written.size(); ++i) {
    if (is_written[i]) continue;
    CHECK(std::memcmp(c.memory.data() + i * width, before.data() + i * width, width) == 0);
  }
}

void test_layouts() {
  const Layout layouts[] = {Layout::kRows, Layout::kCols, Layout::kGaps, Layout::kScattered};
  for (const DType dtype : {DType::kFp16, DType::kFp32}) {
    for (const Layout a : layouts) {
      for (const Layout b : layouts) {
        run_case({.m = 33, .n = 37, .k = 19, .a = a, .b = b, .dtype = dtype});
        run_case({.m = 19, .n = 3, .k = 21, .a = a, .b = b, .dtype = dtype});
      }
    }
    for (const Layout c : {Layout::kRows, Layout::kCols, Layout::kGaps}) {
      for (const DType c_dtype : {DType::kFp16, DType::kFp32}) {
        for (const GemmBias bias : {GemmBias::kNone, GemmBias::kPerRow, GemmBias::kPerColumn}) {
          run_case(
              {.m = 31, .n = 45, .k = 8, .c = c, .dtype = dtype, .c_dtype = c_dtype, .bias = bias});
          run_case(
              {.m = 45, .n = 5, .k = 8, .c = c, .dtype = dtype, .c_dtype = c_dtype, .bias = bias});
          for (const std::int64_t n : {5, 45}) {
            run_case({.m = 31,
                      .n = n,
                      .k = 8,
                      .c = c,
                      .dtype = dtype,
                      .c_dtype = c_dtype,
                      .bias = bias,
                      .scale = -0.3F,
                      .adds_to_c = true});
          }
        }
      }
    }
  }
}

void test_sizes() {
  for (const std::int64_t m : {1, 2, 13, 31}) {
    for (const std::int64_t n : {1, 7, 16, 33}) {
      for (const std::int64_t k : {0, 1, 3, 16, 47}) run_case({.m = m, .n = n, .k = k});
    }
  }
  run_case({.m = 5, .n = 40, .k = 800});   // Several steps along k.
  run_case({.m = 150, .n = 70, .k = 30});  // Several blocks, shared panels.
  for (const Layout a : {Layout::kRows, Layout::kCols, Layout::kGaps}) {
    run_case({.m = 53, .n = 70, .k = 131, .a = a});  // Groups of panels, packed piece by piece.
  }
  run_case({.m = 20, .n = 600, .k = 20});
  run_case({.m = 0, .n = 4, .k = 4, .packs = true});
  run_case({.m = 4, .n = 0, .k = 4, .packs = true});
  run_case({.m = 400, .n = 300, .k = 260, .packs = true});  // Both sides in blocks.
  run_case({.m = 400, .n = 300, .k = 260});
}

void test_batches() {
  for (const bool packs : {false, true}) {
    run_case(
        {.m = 20, .n = 35, .k = 17, .batch = 6, .a_matrices = 6, .b_matrices = 6, .packs = packs});
    run_case(
        {.m = 20, .n = 35, .k = 17, .batch = 6, .a_matrices = 2, .b_matrices = 6, .packs = packs});
    run_case(
        {.m = 100, .n = 9, .k = 17, .batch = 6, .a_matrices = 6, .b_matrices = 1, .packs = packs});
    run_case({.m = 30,
              .n = 30,
              .k = 20,
              .batch = 40,
              .a_matrices = 40,
              .b_matrices = 5,
              .packs = packs});
  }
  run_case({.m = 4, .n = 4, .k = 4, .batch = 0});
}

// Constants of fp16 stay fp16 panels: the same bits as packing at every run. One row or column
// needs them once, and converts them as it multiplies.
void test_packed_constants() {
  for (const DType dtype : {DType::kFp16, DType::kFp32}) {
    for (const auto& [rows, cols] : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {75, 90}, {1, 150}, {5, 150}, {150, 1}, {150, 7}}) {
      const Matrix a = make_matrix(Layout::kRows, dtype, rows, 301, 3, 3);
      const Matrix b = make_matrix(Layout::kCols, dtype, 301, cols, 1, 3);
      Matrix c = make_matrix(Layout::kRows, DType::kFp32, rows, cols, 3, 3);
      GemmSpec spec{.m = rows, .n = cols, .k = 301, .a = a.operand, .b = b.operand, .c = c.operand};
      const std::vector<std::byte> before = c.memory;
      Gemm(spec).run(a.memory.data(), b.memory.data(), nullptr, c.memory.data());
      const std::vector<std::byte> plain = c.memory;
      Gemm packed(spec);
      const bool is_half = dtype == DType::kFp16;
      const bool packs_a = packed.pack_a(a.memory.data());
      const bool packs_b = packed.pack_b(b.memory.data());
      CHECK(packs_a || !is_half);
      CHECK(packs_b || !is_half);
      c.memory = before;
      packed.run(packs_a ? nullptr : a.memory.data(), packs_b ? nullptr : b.memory.data(), nullptr,
                 c.memory.data());
      CHECK(c.memory == plain);
    }
  }
}

// Small integers: every sum is exact, so both ways give the same bits.
void test_product() {
  for (const DType dtype : {DType::kFp16, DType::kFp32}) {
    for (const Layout layout : {Layout::kRows, Layout::kCols}) {
      Matrix a = make_matrix(layout, dtype, 23, 61, 2, 2);
      Matrix b = make_matrix(layout, dtype, 61, 34, 2, 2);
      for (Matrix* x : {&a, &b}) {
        const std::size_t width = pyane::dtype_size(dtype);
        for (std::size_t i = 0; i < x->memory.size() / width; ++i) {
          const float value = static_cast<float>(i % 11) - 5.0F;
          const pyane::half_bits half = pyane::float_to_half(value);
          std::memcpy(x->memory.data() + i * width,
                      width == 2 ? static_cast<const void*>(&half) : &value, width);
        }
      }
      std::vector<float> by_blas(2 * 23 * 40, 3.0F);
      std::vector<float> packed = by_blas;
      GemmSpec spec{.m = 23, .n = 34, .k = 61, .a = a.operand, .b = b.operand};
      spec.c = {.dtype = DType::kFp32, .row_stride = 40, .col_stride = 1, .offsets = {0, 23 * 40}};
      for (const bool adds : {true, false}) {
        spec.scale = 0.5F;
        spec.adds_to_c = adds;
        multiply_by_blas(spec, a.memory.data(), b.memory.data(), by_blas.data());
        multiply_packed(spec, a.memory.data(), b.memory.data(), packed.data());
        CHECK(by_blas == packed);
      }
      spec.c.dtype = DType::kFp16;
      CHECK_THROWS(pyane::ShapeError,
                   multiply_packed(spec, a.memory.data(), b.memory.data(), packed.data()));
      spec.c.dtype = DType::kFp32;
      spec.a.row_stride = spec.a.col_stride = 2;
      CHECK_THROWS(pyane::ShapeError,
                   multiply_by_blas(spec, a.memory.data(), b.memory.data(), by_blas.data()));
    }
  }
}

void test_errors() {
  CHECK_THROWS(pyane::ShapeError, Gemm({.m = -1, .n = 1, .k = 1}));
  CHECK_THROWS(pyane::ShapeError, Gemm({.m = 1, .n = 1, .k = 1, .a = {.dtype = DType::kInt32}}));
  CHECK_THROWS(pyane::ShapeError, Gemm({.m = 1, .n = 1, .k = 1, .b = {.offsets = {0, 1}}}));
  CHECK_THROWS(pyane::ShapeError,
               Gemm({.m = 2, .n = 1, .k = 1, .a = {.row_offsets = {0}, .col_offsets = {0}}}));
}

}  // namespace

int main() {
  for (const pyane::Isa isa : pyane::available_isas()) {
    pyane::set_isa(pyane::isa_name(isa));
    test_layouts();
    test_sizes();
    test_batches();
    test_packed_constants();
    test_product();
  }
  test_errors();
  return 0;
}
