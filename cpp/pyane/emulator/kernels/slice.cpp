#include <string>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/emulator/kernels/copy.h"
#include "pyane/emulator/kernels/float_row.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/mil/ops/windows.h"

// Slices: views where the bounds are known when compiling, else copies of windows whose size is.

namespace pyane::emulator {
namespace {

using mil::OpContext;

/// Of a dimension that takes every `step`-th element. One element takes no step, which may be any
/// number then; more of them bound it.
std::int64_t stepped(std::int64_t stride, std::int64_t step, std::int64_t count) {
  return count > 1 ? stride * step : stride;
}

std::optional<SubTensor> slice(const TensorLayout& x, const std::vector<mil::SliceRange>& ranges) {
  SubTensor view{.layout = x};
  view.layout.rank = 0;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const mil::SliceRange& range = ranges[i];
    if (range.begin == kUnknownDim || range.count == kUnknownDim) return std::nullopt;
    // An empty slice may begin past the end; it has no first element to point at.
    if (range.count > 0) view.offset += range.begin * x.strides[i];
    if (range.is_squeezed) continue;
    const auto axis = static_cast<std::size_t>(view.layout.rank++);
    view.layout.dims[axis] = range.count;
    view.layout.strides[axis] = stepped(x.strides[i], range.stride, range.count);
  }
  return view;
}

std::optional<SubTensor> view_slice_by_index(const OpContext& op, const TensorLayout& x,
                                             std::size_t, const Shape&) {
  return slice(x, mil::resolve_slice_by_index(op));
}

std::optional<SubTensor> view_slice_by_size(const OpContext& op, const TensorLayout& x, std::size_t,
                                            const Shape&) {
  if (op.constant("begin") == nullptr) return std::nullopt;
  return slice(x, mil::resolve_slice_by_size(op));
}

std::int64_t entry(const TensorView& vector, std::size_t i) {
  return load_integer(vector.dtype, vector.data, static_cast<std::int64_t>(i) * vector.stride(0));
}

/// A window of x whose place follows from begin and end at evaluation, by the rules of
/// slice_by_index. Its size and steps are known.
class Window {
 public:
  /// @param dims  What the program says that the slice holds.
  Window(const OpContext& op, const TensorLayout& x, const TensorLayout& dims)
      : op_(op.record().name), name_(op.operation().display_name()), x_(x), window_(x) {
    const auto rank = static_cast<std::size_t>(x.rank);
    const auto mask = [&](const char* input) {
      std::vector<bool> values = op.booleans(input);
      values.resize(rank, false);
      return values;
    };
    begin_mask_ = mask("begin_mask");
    end_mask_ = mask("end_mask");
    squeeze_mask_ = mask("squeeze_mask");
    strides_.assign(rank, 1);
    if (op.has("stride")) strides_ = op.integers("stride");
    window_.rank = 0;
    for (std::size_t i = 0; i < rank; ++i) {
      if (squeeze_mask_[i]) continue;
      const auto axis = static_cast<std::size_t>(window_.rank++);
      window_.dims[axis] = dims.dims[axis];
      window_.strides[axis] = stepped(x.strides[i], strides_[i], dims.dims[axis]);
    }
  }

  const TensorLayout& layout() const { return window_; }

  /// Of the first element, in elements. @throws EvaluateError  when begin and end make it another
  /// window.
  std::int64_t offset(const TensorView& begin, const TensorView& end) const {
    std::int64_t offset = 0;
    std::size_t axis = 0;
    for (std::size_t i = 0; i < strides_.size(); ++i) {
      const std::int64_t n = x_.dims[i];
      const std::int64_t first = entry(begin, i);
      if (squeeze_mask_[i]) {
        const std::int64_t index = begin_mask_[i] ? 0 : (first < 0 ? first + n : first);
        if (index < 0 || index >= n) {
          fail("begin[" + std::to_string(i) + "] must lie in [" + std::to_string(-n) + ", " +
               std::to_string(n) + "), got " + std::to_string(first));
        }
        offset += index * x_.strides[i];
        continue;
      }
      const mil::SliceRange range =
          mil::slice_range(n, {first, begin_mask_[i]}, {entry(end, i), end_mask_[i]}, strides_[i]);
      if (range.count != window_.dims[axis]) {
        fail("begin and end must take " + std::to_string(window_.dims[axis]) +
             " elements of dimension " + std::to_string(i) + " of x " + to_string(x_.shape()) +
             ", got " + std::to_string(range.count) + " from " + std::to_string(first) + " to " +
             std::to_string(entry(end, i)));
      }
      ++axis;
      offset += range.begin * x_.strides[i];
    }
    return offset;
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw EvaluateError(op_ + " '" + name_ + "': " + message, 0);
  }

  std::string op_;
  std::string name_;
  TensorLayout x_;
  TensorLayout window_;
  std::vector<bool> begin_mask_;
  std::vector<bool> end_mask_;
  std::vector<bool> squeeze_mask_;
  std::vector<std::int64_t> strides_;
};

std::int64_t bytes_of(const TensorLayout& layout, std::int64_t elements) {
  return elements * static_cast<std::int64_t>(layout.element_bytes());
}

/// slice_by_index whose begin or end is computed by the program.
class SliceByIndex final : public Step {
 public:
  explicit SliceByIndex(const PrepareContext& context)
      : window_(context.op, context.inputs[0], context.outputs[0]),
        copy_(make_copy(window_.layout(), context.outputs[0])) {}

  void run(const StepArguments& arguments) const override {
    TensorView x = arguments.inputs[0];
    x.data += bytes_of(x, window_.offset(arguments.inputs[1], arguments.inputs[2]));
    copy_->run({.inputs = std::span(&x, 1), .outputs = arguments.outputs});
  }

 private:
  Window window_;
  std::unique_ptr<Step> copy_;
};

/// x with `update` in place of a slice. The result may be in x's memory: the planner sees to it
/// that a state need not be copied to change a part of it.
class SliceUpdate final : public Step {
 public:
  explicit SliceUpdate(const PrepareContext& context)
      : copy_(make_copy(context.inputs[0], context.outputs[0])),
        window_(context.op, context.outputs[0], context.inputs[1]),
        update_(make_copy(context.inputs[1], window_.layout())) {}

  void run(const StepArguments& arguments) const override {
    TensorView out = arguments.outputs[0];
    const std::int64_t offset = window_.offset(arguments.inputs[2], arguments.inputs[3]);
    if (arguments.inputs[0].data != out.data) {
      copy_->run({.inputs = arguments.inputs.first(1), .outputs = arguments.outputs});
    }
    out.data += bytes_of(out, offset);
    update_->run({.inputs = arguments.inputs.subspan(1, 1), .outputs = std::span(&out, 1)});
  }

 private:
  std::unique_ptr<Step> copy_;
  Window window_;
  std::unique_ptr<Step> update_;
};

/// slice_by_size whose begin is computed by the program.
class SliceBySize final : public Step {
 public:
  explicit SliceBySize(const PrepareContext& context)
      : sizes_(context.outputs[0].shape()), name_(context.op.operation().display_name()) {
    TensorLayout window = context.inputs[0];
    for (std::size_t i = 0; i < sizes_.size(); ++i) window.dims[i] = sizes_[i];
    copy_ = make_copy(window, context.outputs[0]);
  }

  void run(const StepArguments& arguments) const override {
    TensorView x = arguments.inputs[0];
    const TensorView& begin = arguments.inputs[1];
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
      const std::int64_t given = entry(begin, i);
      const std::int64_t first = given < 0 ? given + x.dims[i] : given;
      if (first < 0 || first + sizes_[i] > x.dims[i]) {
        throw EvaluateError("slice_by_size '" + name_ + "': begin[" + std::to_string(i) +
                                "] must lie in [0, " + std::to_string(x.dims[i] - sizes_[i]) +
                                "], got " + std::to_string(given),
                            0);
      }
      x.data += bytes_of(x, first * x.strides[i]);
      x.dims[i] = sizes_[i];
    }
    copy_->run({.inputs = std::span(&x, 1), .outputs = arguments.outputs});
  }

 private:
  Shape sizes_;
  std::string name_;
  std::unique_ptr<Step> copy_;
};

template <typename Kernel>
std::unique_ptr<Step> prepare(const PrepareContext& context) {
  return std::make_unique<Kernel>(context);
}

KernelRecord record(std::string_view op, std::vector<std::string_view> operands, Prepare prepare,
                    MakeView view) {
  return {.op = op,
          .operands = std::move(operands),
          .prepare = prepare,
          .strided_inputs = true,
          .strided_outputs = true,
          .view = view};
}

}  // namespace

std::span<const KernelRecord> slice_kernels() {
  static const KernelRecord records[] = {
      record("slice_by_index", {"x", "begin", "end"}, prepare<SliceByIndex>, view_slice_by_index),
      record("slice_by_size", {"x", "begin"}, prepare<SliceBySize>, view_slice_by_size),
      record("slice_update", {"x", "update", "begin", "end"}, prepare<SliceUpdate>, nullptr),
  };
  return records;
}

}  // namespace pyane::emulator
