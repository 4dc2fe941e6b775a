#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>

#include "pyane/base/error.h"
#include "pyane/emulator/kernels/fill.h"
#include "pyane/emulator/kernels/float_row.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/rows.h"

// Operations that make elements of positions: fill, fill_like, range_1d, shape, one_hot, band_part,
// non_zero.

namespace pyane::emulator {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::unique_ptr<Step> prepare_fill(const PrepareContext& context) {
  const TensorLayout& out = context.outputs[0];
  return make_fill(out, value_bits(context.op, "value", out.dtype));
}

/// start + i * step, worked out in fp64 and rounded once; int32 exactly.
class Range final : public Step {
 public:
  explicit Range(const PrepareContext& context)
      : name_(context.op.operation().display_name()), count_(context.outputs[0].dim(0)) {}

  void run(const StepArguments& arguments) const override {
    const auto number = [&](std::size_t i) {
      return load_number(arguments.inputs[i].dtype, arguments.inputs[i].data, 0);
    };
    const double end = number(0);
    const double start = number(1);
    const double step = number(2);
    const double count = step == 0 ? -1 : std::max(std::ceil((end - start) / step), 0.0);
    if (count != static_cast<double>(count_)) {
      throw EvaluateError("range_1d '" + name_ + "': from " + std::to_string(start) + " to " +
                              std::to_string(end) + " by " + std::to_string(step) + " must give " +
                              std::to_string(count_) + " values, the declared length, got " +
                              std::to_string(count),
                          0);
    }
    const TensorView& out = arguments.outputs[0];
    for (std::int64_t i = 0; i < count_; ++i) {
      const double value = start + static_cast<double>(i) * step;
      if (out.dtype == DType::kInt32) {
        out.as<std::int32_t>()[i] = static_cast<std::int32_t>(value);
      } else {
        const auto single = static_cast<float>(value);
        store_floats(&single, out.dtype, out.data, i, 1, 1);
      }
    }
  }

 private:
  std::string name_;
  std::int64_t count_;
};

/// The dimensions of x, which are known when compiling.
class ShapeOf final : public Step {
 public:
  explicit ShapeOf(const PrepareContext& context) {
    for (const std::int64_t dim : context.op.dims("x")) {
      if (dim == kUnknownDim) {
        context.op.fail("the emulator needs the dimensions of x at compile time, got " +
                        to_string(context.op.type("x")));
      }
      dims_.push_back(static_cast<std::int32_t>(dim));
    }
  }
  void run(const StepArguments& arguments) const override {
    std::copy(dims_.begin(), dims_.end(), arguments.outputs[0].as<std::int32_t>());
  }

 private:
  std::vector<std::int32_t> dims_;
};

/// on_value where the position along the new axis is the index; an index outside [0, size) is
/// nowhere (TensorFlow's rule).
class OneHot final : public Step {
 public:
  explicit OneHot(const PrepareContext& context)
      : n_bytes_(context.outputs[0].element_bytes()),
        on_(bits(context, "on_value", 1)),
        fill_(make_fill(context.outputs[0], bits(context, "off_value", 0))) {
    const TensorLayout& out = context.outputs[0];
    const std::int64_t axis = context.op.axis("axis", at(out.rank));
    size_ = out.dims[at(axis)];
    for (std::int64_t i = axis + 1; i < out.rank; ++i) inner_ *= out.dims[at(i)];
  }

  void run(const StepArguments& arguments) const override {
    fill_->run({.inputs = {}, .outputs = arguments.outputs});
    const TensorView& indices = arguments.inputs[0];
    std::byte* out = arguments.outputs[0].data;
    for (std::int64_t i = 0; i < indices.count(); ++i) {
      const std::int64_t index = load_integer(indices.dtype, indices.data, i);
      if (index < 0 || index >= size_) continue;
      const std::int64_t to = (i / inner_ * size_ + index) * inner_ + i % inner_;
      std::memcpy(out + to * static_cast<std::int64_t>(n_bytes_), on_.data(), n_bytes_);
    }
  }

 private:
  static ElementBits bits(const PrepareContext& context, const char* input,
                          std::int64_t otherwise) {
    const DType dtype = context.outputs[0].dtype;
    if (context.op.has(input)) return value_bits(context.op, input, dtype);
    return number_bits(static_cast<double>(otherwise), dtype);
  }

  std::size_t n_bytes_;
  ElementBits on_;
  std::unique_ptr<Step> fill_;
  std::int64_t size_ = 1;
  std::int64_t inner_ = 1;
};

/// Zeros outside a band of the innermost matrices.
class BandPart final : public Step {
 public:
  explicit BandPart(const PrepareContext& context)
      : lower_(context.op.integer("lower")),
        upper_(context.op.integer("upper")),
        n_bytes_(static_cast<std::int64_t>(context.inputs[0].element_bytes())) {
    const TensorLayout& x = context.inputs[0];
    if (x.rank < 2) context.op.fail("x must have rank 2 at least, got " + to_string(x.shape()));
    height_ = x.dim(x.rank - 2);
    width_ = x.dim(x.rank - 1);
    n_rows_ = width_ > 0 ? x.count() / width_ : 0;
  }

  void run(const StepArguments& arguments) const override {
    const std::byte* x = arguments.inputs[0].data;
    std::byte* out = arguments.outputs[0].data;
    for_each_row(n_rows_, width_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t m = row % height_;
        const std::int64_t first = lower_ < 0 ? 0 : std::clamp<std::int64_t>(m - lower_, 0, width_);
        const std::int64_t last =
            upper_ < 0 ? width_ : std::clamp<std::int64_t>(m + upper_ + 1, first, width_);
        const std::int64_t from = row * width_ * n_bytes_;
        std::memset(out + from, 0, at(width_ * n_bytes_));
        std::memcpy(out + from + first * n_bytes_, x + from + first * n_bytes_,
                    at((last - first) * n_bytes_));
      }
    });
  }

 private:
  std::int64_t lower_;
  std::int64_t upper_;
  std::int64_t n_bytes_;
  std::int64_t height_ = 1;
  std::int64_t width_ = 1;
  std::int64_t n_rows_ = 0;
};

/// Indices of the elements that are not zero, row by row; their number was declared.
class NonZero final : public Step {
 public:
  explicit NonZero(const PrepareContext& context)
      : name_(context.op.operation().display_name()), x_(context.inputs[0]) {}

  void run(const StepArguments& arguments) const override {
    const TensorView& x = arguments.inputs[0];
    const std::int64_t expected = arguments.outputs[0].dim(0);
    auto* out = arguments.outputs[0].as<std::int32_t>();
    std::int64_t found = 0;
    for (std::int64_t i = 0; i < x_.count(); ++i) {
      if (load_number(x.dtype, x.data, i) == 0) continue;
      if (found++ >= expected) continue;
      std::int64_t rest = i;
      for (int axis = x_.rank; axis-- > 0;) {
        out[(found - 1) * x_.rank + axis] = static_cast<std::int32_t>(rest % x_.dim(axis));
        rest /= x_.dim(axis);
      }
    }
    if (found == expected) return;
    throw EvaluateError("non_zero '" + name_ + "': x must have " + std::to_string(expected) +
                            " elements that are not zero, the declared number, got " +
                            std::to_string(found),
                        0);
  }

 private:
  std::string name_;
  TensorLayout x_;
};

template <typename Kernel>
std::unique_ptr<Step> prepare(const PrepareContext& context) {
  return std::make_unique<Kernel>(context);
}

}  // namespace

std::span<const KernelRecord> generate_kernels() {
  static const KernelRecord records[] = {
      {.op = "band_part", .operands = {"x"}, .prepare = prepare<BandPart>},
      {.op = "fill", .operands = {}, .prepare = prepare_fill, .strided_outputs = true},
      {.op = "fill_like", .operands = {}, .prepare = prepare_fill, .strided_outputs = true},
      {.op = "non_zero", .operands = {"x"}, .prepare = prepare<NonZero>},
      {.op = "one_hot", .operands = {"indices"}, .prepare = prepare<OneHot>},
      {.op = "range_1d", .operands = {"end", "start", "step"}, .prepare = prepare<Range>},
      {.op = "shape", .operands = {}, .prepare = prepare<ShapeOf>},
  };
  return records;
}

}  // namespace pyane::emulator
