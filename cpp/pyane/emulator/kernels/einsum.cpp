#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "pyane/emulator/kernels/gemm.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/table_limit.h"

// einsum of two tensors as a batch of matrix products, without moving an element: the last letter
// that only x and the result have runs over rows, the last that only y and the result have over
// columns, the rest of the result's letters over the batch; letters that the result lacks are
// summed.

namespace pyane::emulator {
namespace {

struct Letter {
  std::int64_t dim = 1;
  std::int64_t x = 0;  ///< Strides; 0 where the tensor repeats, or lacks the letter.
  std::int64_t y = 0;
  std::int64_t out = 0;
};

/// Offsets of every index of some letters, row-major.
std::vector<std::int64_t> walk(const std::vector<Letter>& letters, std::int64_t Letter::* stride) {
  std::vector<std::int64_t> offsets = {0};
  for (const Letter& letter : letters) {
    std::vector<std::int64_t> next;
    next.reserve(offsets.size() * static_cast<std::size_t>(letter.dim));
    for (const std::int64_t offset : offsets) {
      for (std::int64_t i = 0; i < letter.dim; ++i) next.push_back(offset + i * letter.*stride);
    }
    offsets = std::move(next);
  }
  return offsets;
}

/// Stride of `letter` in a tensor whose dimensions `term` names.
std::int64_t stride_of(const TensorLayout& tensor, const std::string& term, char letter) {
  const std::size_t at = term.find(letter);
  if (at == std::string::npos || tensor.dims[at] == 1) return 0;
  return tensor.strides[at];
}

std::int64_t dim_of(const TensorLayout& tensor, const std::string& term, char letter) {
  const std::size_t at = term.find(letter);
  return at == std::string::npos ? 1 : tensor.dims[at];
}

class Einsum final : public Step {
 public:
  explicit Einsum(const PrepareContext& context) : gemm_(spec_of(context)) {
    for (std::size_t i = 0; i < 2; ++i) {
      const void* data = context.inputs[i].data;
      is_packed_[i] = data != nullptr && (i == 0 ? gemm_.pack_a(data) : gemm_.pack_b(data));
    }
  }

  void run(const StepArguments& arguments) const override {
    gemm_.run(arguments.inputs[0].data, arguments.inputs[1].data, nullptr,
              arguments.outputs[0].data, arguments.scratch);
  }
  std::size_t scratch_bytes() const override { return gemm_.scratch_bytes(); }
  bool reads_input(std::size_t i) const override { return !is_packed_[i]; }

 private:
  static GemmSpec spec_of(const PrepareContext& context) {
    const TensorView& x = context.inputs[0];
    const TensorView& y = context.inputs[1];
    const TensorView& out = context.outputs[0];
    const std::string equation = context.op.string("equation");
    const std::size_t comma = equation.find(',');
    const std::size_t arrow = equation.find("->");
    const std::string x_term = equation.substr(0, comma);
    const std::string y_term = equation.substr(comma + 1, arrow - comma - 1);
    const std::string out_term = equation.substr(arrow + 2);
    const auto letter = [&](char name) {
      return Letter{.dim = std::max(dim_of(x, x_term, name), dim_of(y, y_term, name)),
                    .x = stride_of(x, x_term, name),
                    .y = stride_of(y, y_term, name),
                    .out = stride_of(out, out_term, name)};
    };
    Letter row;
    Letter column;
    std::vector<Letter> batch;
    std::vector<Letter> summed;
    const auto keep = [&batch](Letter& kept, const Letter& next) {
      if (kept.dim > 1) batch.push_back(kept);
      kept = next;
    };
    for (const char name : out_term) {
      const bool is_in_x = x_term.find(name) != std::string::npos;
      const bool is_in_y = y_term.find(name) != std::string::npos;
      if (is_in_x && is_in_y) {
        batch.push_back(letter(name));
      } else {
        keep(is_in_x ? row : column, letter(name));
      }
    }
    for (const char name : x_term) {
      if (out_term.find(name) == std::string::npos) summed.push_back(letter(name));
    }

    const auto count = [](const std::vector<Letter>& letters) {
      std::int64_t n = 1;
      for (const Letter& next : letters) n *= next.dim;
      return n;
    };
    require_table(context.op, count(batch), "product of a batch");
    require_table(context.op, count(summed), "term of a sum");
    if (summed.size() > 1) {
      require_table(context.op, std::max(row.dim, column.dim), "row and column of a product");
    }

    GemmSpec spec{{.m = row.dim, .n = column.dim}};
    const std::vector<std::int64_t> along_x = walk(summed, &Letter::x);
    spec.k = static_cast<std::int64_t>(along_x.size());
    spec.a = {.dtype = x.dtype, .row_stride = row.x, .offsets = walk(batch, &Letter::x)};
    spec.b = {.dtype = y.dtype, .col_stride = column.y, .offsets = walk(batch, &Letter::y)};
    spec.c = {.dtype = out.dtype,
              .row_stride = row.out,
              .col_stride = column.out,
              .offsets = walk(batch, &Letter::out)};
    spec.unit = hardware::mac_unit(context, 0, 1, spec.k);
    if (summed.size() <= 1) {
      spec.a.col_stride = summed.empty() ? 0 : summed[0].x;
      spec.b.row_stride = summed.empty() ? 0 : summed[0].y;
    } else {
      spec.a.col_offsets = along_x;
      spec.a.row_offsets = walk({row}, &Letter::x);
      spec.b.row_offsets = walk(summed, &Letter::y);
      spec.b.col_offsets = walk({column}, &Letter::y);
    }
    return spec;
  }

  Gemm gemm_;
  std::array<bool, 2> is_packed_{};
};

std::unique_ptr<Step> prepare(const PrepareContext& context) {
  return std::make_unique<Einsum>(context);
}

}  // namespace

std::span<const KernelRecord> einsum_kernels() {
  static const KernelRecord records[] = {{.op = "einsum",
                                          .operands = {"values"},
                                          .prepare = prepare,
                                          .strided_inputs = true,
                                          .strided_outputs = true}};
  return records;
}

}  // namespace pyane::emulator
