#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "pyane/base/thread_pool.h"
#include "pyane/emulator/kernels/gemm.h"
#include "pyane/emulator/kernels/registry.h"

// matmul and linear.

namespace pyane::emulator {
namespace {

/// One side of a product: the two dimensions that are multiplied, and the rest, over which the
/// batch runs.
struct Matrices {
  DType dtype;
  std::int64_t rows = 1;
  std::int64_t cols = 1;
  std::int64_t row_stride = 0;
  std::int64_t col_stride = 0;
  TensorLayout batch;
};

Matrices as_matrices(const TensorLayout& x, bool transpose) {
  Matrices result{.dtype = x.dtype, .batch = x};
  result.batch.rank = std::max(0, x.rank - 2);
  if (x.rank >= 1) {
    result.cols = x.dim(x.rank - 1);
    result.col_stride = x.stride(x.rank - 1);
  }
  if (x.rank >= 2) {
    result.rows = x.dim(x.rank - 2);
    result.row_stride = x.stride(x.rank - 2);
  }
  if (transpose) {
    std::swap(result.rows, result.cols);
    std::swap(result.row_stride, result.col_stride);
  }
  return result;
}

GemmOperand operand(const Matrices& x, const TensorLayout& batch) {
  return {.dtype = x.dtype,
          .row_stride = x.row_stride,
          .col_stride = x.col_stride,
          .offsets = broadcast_offsets(x.batch, batch)};
}

/// The plan of a matrix product whose operands are the step's inputs 0 and 1, with an optional
/// bias as input 2.
class GemmStep final : public Step {
 public:
  GemmStep(GemmSpec spec, const PrepareContext& context) : gemm_(std::move(spec)) {
    const void* a = context.inputs[0].data;
    const void* b = context.inputs[1].data;
    is_packed_ = {a != nullptr && gemm_.pack_a(a), b != nullptr && gemm_.pack_b(b)};
  }

  void run(const StepArguments& arguments) const override {
    const void* bias = arguments.inputs.size() > 2 && !arguments.inputs[2].is_absent()
                           ? arguments.inputs[2].data
                           : nullptr;
    gemm_.run(arguments.inputs[0].data, arguments.inputs[1].data, bias, arguments.outputs[0].data,
              arguments.scratch);
  }
  std::size_t scratch_bytes() const override { return gemm_.scratch_bytes(); }
  bool reads_input(std::size_t i) const override { return i >= 2 || !is_packed_[i]; }

 private:
  Gemm gemm_;
  std::array<bool, 2> is_packed_{};
};

/// Products of int32, wrapping around on overflow.
class IntGemmStep final : public Step {
 public:
  explicit IntGemmStep(GemmSpec spec) : spec_(std::move(spec)) {}

  void run(const StepArguments& arguments) const override {
    const auto* x = arguments.inputs[0].as<std::uint32_t>();
    const auto* y = arguments.inputs[1].as<std::uint32_t>();
    auto* out = arguments.outputs[0].as<std::uint32_t>();
    const std::uint32_t* bias =
        spec_.bias == GemmBias::kNone ? nullptr : arguments.inputs[2].as<std::uint32_t>();
    const auto rows = static_cast<std::size_t>(spec_.m);
    const auto n_rows = rows * spec_.c.offsets.size();
    const auto work =
        std::chrono::nanoseconds(static_cast<std::int64_t>(n_rows) * spec_.n * spec_.k);
    parallel_for(n_rows, work, [&](std::size_t task) {
      const std::size_t p = task / rows;
      const auto i = static_cast<std::int64_t>(task % rows);
      const std::uint32_t* x_row = x + spec_.a.offsets[p] + i * spec_.a.row_stride;
      const std::uint32_t* y_matrix = y + spec_.b.offsets[p];
      std::uint32_t* out_row = out + spec_.c.offsets[p] + i * spec_.c.row_stride;
      for (std::int64_t j = 0; j < spec_.n; ++j) {
        std::uint32_t sum = bias != nullptr ? bias[j] : 0;
        for (std::int64_t l = 0; l < spec_.k; ++l) {
          sum += x_row[l * spec_.a.col_stride] *
                 y_matrix[l * spec_.b.row_stride + j * spec_.b.col_stride];
        }
        out_row[j * spec_.c.col_stride] = sum;
      }
    });
  }

 private:
  GemmSpec spec_;
};

std::unique_ptr<Step> prepare_matmul(const PrepareContext& context) {
  const TensorView& x = context.inputs[0];
  const TensorView& y = context.inputs[1];
  const TensorView& out = context.outputs[0];
  // A vector is a row on the left and a column on the right, and its dimension leaves the result.
  const Matrices a = as_matrices(x, x.rank >= 2 && context.op.boolean("transpose_x"));
  const Matrices b = as_matrices(y, y.rank < 2 || context.op.boolean("transpose_y"));
  if (a.cols != b.rows) {
    context.op.fail("x " + to_string(x.shape()) + " and y " + to_string(y.shape()) +
                    " disagree: " + std::to_string(a.cols) + " != " + std::to_string(b.rows));
  }
  TensorLayout batch = out;
  Matrices c{.dtype = out.dtype, .rows = a.rows, .cols = b.cols, .batch = out};
  int last = out.rank - 1;
  if (y.rank >= 2) c.col_stride = out.stride(last--);
  if (x.rank >= 2) c.row_stride = out.stride(last--);
  batch.rank = c.batch.rank = last + 1;

  GemmSpec spec{{.m = a.rows, .n = b.cols, .k = a.cols}};
  spec.a = operand(a, batch);
  spec.b = operand(b, batch);
  spec.c = operand(c, batch);
  spec.unit = hardware::mac_unit(context, 0, 1, spec.k);
  if (x.dtype == DType::kInt32) return std::make_unique<IntGemmStep>(std::move(spec));
  return std::make_unique<GemmStep>(std::move(spec), context);
}

std::unique_ptr<Step> prepare_linear(const PrepareContext& context) {
  const TensorView& x = context.inputs[0];
  const TensorView& weight = context.inputs[1];
  const TensorView& bias = context.inputs[2];
  const TensorView& out = context.outputs[0];
  Matrices a = as_matrices(x, false);
  const Matrices b = as_matrices(weight, true);
  Matrices c = as_matrices(out, false);
  if (x.is_contiguous() && out.is_contiguous()) {  // One product over all rows.
    a.rows = c.rows =
        a.cols == 0 ? out.count() / std::max<std::int64_t>(1, c.cols) : x.count() / a.cols;
    a.row_stride = a.cols;
    c.row_stride = c.cols;
    a.batch.rank = c.batch.rank = 0;
  }
  GemmSpec spec{{.m = a.rows, .n = b.cols, .k = a.cols}};
  spec.a = operand(a, c.batch);
  spec.b = operand(b, c.batch);
  spec.c = operand(c, c.batch);
  spec.unit = hardware::mac_unit(context, 0, 1, spec.k);
  if (!bias.is_absent()) {
    spec.bias = GemmBias::kPerColumn;
    spec.bias_dtype = bias.dtype;
  }
  if (x.dtype == DType::kInt32) return std::make_unique<IntGemmStep>(std::move(spec));
  return std::make_unique<GemmStep>(std::move(spec), context);
}

}  // namespace

std::span<const KernelRecord> linear_kernels() {
  static const std::vector<KernelRecord> records = {
      {.op = "matmul",
       .operands = {"x", "y"},
       .prepare = &prepare_matmul,
       .strided_inputs = true,
       .strided_outputs = true},
      {.op = "linear",
       .operands = {"x", "weight", "bias"},
       .prepare = &prepare_linear,
       .strided_inputs = true,
       .strided_outputs = true},
  };
  return records;
}

}  // namespace pyane::emulator
