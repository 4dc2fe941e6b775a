#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/emulator/kernels/float_row.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/rows.h"

// Scatters go through the updates in order, element by element of the result, so that several
// updates of one element give the same bits on any number of threads. fp16 results of arithmetic
// are kept in fp32 until all updates are done, and rounded once.

namespace pyane::emulator {
namespace {

enum class Mode : std::uint8_t { kAdd, kDiv, kMax, kMin, kMul, kSub, kUpdate };

Mode mode_of(const std::string& name) {
  if (name == "add") return Mode::kAdd;
  if (name == "div") return Mode::kDiv;
  if (name == "max") return Mode::kMax;
  if (name == "min") return Mode::kMin;
  if (name == "mul") return Mode::kMul;
  if (name == "sub") return Mode::kSub;
  return Mode::kUpdate;
}

float combined(Mode mode, float a, float b) {
  switch (mode) {
    case Mode::kAdd:
      return a + b;
    case Mode::kDiv:
      return a / b;
    case Mode::kMax:
      return a > b || a != a ? a : b;
    case Mode::kMin:
      return a < b || a != a ? a : b;
    case Mode::kMul:
      return a * b;
    case Mode::kSub:
      return a - b;
    case Mode::kUpdate:
      return b;
  }
  return b;
}

/// Modulo 2^32; division rounds towards zero, by zero it gives 0.
std::int32_t combined(Mode mode, std::int32_t a, std::int32_t b) {
  const auto x = static_cast<std::uint32_t>(a);
  const auto y = static_cast<std::uint32_t>(b);
  switch (mode) {
    case Mode::kAdd:
      return static_cast<std::int32_t>(x + y);
    case Mode::kDiv:
      return b == 0    ? 0
             : b == -1 ? static_cast<std::int32_t>(0U - x)  // -2^31 / -1 wraps.
                       : a / b;
    case Mode::kMax:
      return std::max(a, b);
    case Mode::kMin:
      return std::min(a, b);
    case Mode::kMul:
      return static_cast<std::int32_t>(x * y);
    case Mode::kSub:
      return static_cast<std::int32_t>(x - y);
    case Mode::kUpdate:
      return b;
  }
  return b;
}

std::int64_t product(const TensorLayout& x, std::int64_t begin, std::int64_t end) {
  std::int64_t n = 1;
  for (std::int64_t i = begin; i < end; ++i) n *= x.dim(static_cast<int>(i));
  return n;
}

/// Applies updates to a copy of `data`. Outputs divide into `n_parts()` parts of the data that no
/// update crosses; inside one part, updates are ordered.
class Scatter : public Step {
 public:
  explicit Scatter(const PrepareContext& context)
      : op_(context.op.record().name),
        name_(context.op.operation().display_name()),
        mode_(mode_of(context.op.string("mode"))),
        validates_(context.op.boolean("validate_indices")),
        dtype_(context.inputs[0].dtype),
        count_(context.inputs[0].count()) {}

  std::size_t scratch_bytes() const override {
    return is_wide() ? static_cast<std::size_t>(count_) * sizeof(float) : 0;
  }

  void run(const StepArguments& arguments) const override {
    const TensorView& data = arguments.inputs[0];
    const TensorView& out = arguments.outputs[0];
    std::memcpy(out.data, data.data, static_cast<std::size_t>(count_) * data.element_bytes());
    if (!is_wide()) {
      if (data.element_bytes() == 2) return apply<std::uint16_t>(arguments, out.data);
      return dtype_ == DType::kInt32 ? apply<std::int32_t>(arguments, out.data)
                                     : apply<float>(arguments, out.data);
    }
    auto* wide = reinterpret_cast<float*>(arguments.scratch);
    load_floats(dtype_, data.data, 0, 1, count_, wide);
    apply<float>(arguments, arguments.scratch);
    store_floats(wide, dtype_, out.data, 0, 1, count_);
  }

 protected:
  /// Visits, in order, the runs of elements that part `part` of the data takes:
  /// visit(first element of the data, first element of the updates, number).
  struct Run {
    std::int64_t target;
    std::int64_t source;
    std::int64_t count;
  };
  virtual std::int64_t n_parts() const = 0;
  virtual std::int64_t n_runs() const = 0;  ///< Of a part.
  virtual Run run_of(const TensorView& indices, std::int64_t part, std::int64_t i) const = 0;

  /// Index `i` of `indices`, in [0, dim). Negative ones count from the end, but where the program
  /// asks for validation, as they do not in iOS17, which has it.
  std::int64_t checked(const TensorView& indices, std::int64_t i, std::int64_t dim) const {
    const std::int64_t given = load_integer(indices.dtype, indices.data, i);
    const std::int64_t index = given < 0 && !validates_ ? given + dim : given;
    if (index < 0 || index >= dim) {
      throw EvaluateError(op_ + " '" + name_ + "': indices must lie in [" +
                              std::to_string(validates_ ? 0 : -dim) + ", " + std::to_string(dim) +
                              "), got " + std::to_string(given) + " at element " +
                              std::to_string(i),
                          0);
    }
    return index;
  }

 private:
  bool is_wide() const { return dtype_ == DType::kFp16 && mode_ != Mode::kUpdate; }

  template <typename T>
  void apply(const StepArguments& arguments, std::byte* target) const {
    const TensorView& indices = arguments.inputs[1];
    const TensorView& updates = arguments.inputs[2];
    auto* to = reinterpret_cast<T*>(target);
    const std::int64_t cost = n_parts() > 0 ? updates.count() / n_parts() : 1;
    for_each_row(n_parts(), std::max<std::int64_t>(cost, 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t part = begin; part < end; ++part) {
                     for (std::int64_t i = 0; i < n_runs(); ++i) {
                       const Run run = run_of(indices, part, i);
                       update(to + run.target, updates, run.source, run.count);
                     }
                   }
                 });
  }

  template <typename T>
  void update(T* to, const TensorView& updates, std::int64_t source, std::int64_t count) const {
    if (mode_ == Mode::kUpdate) {
      std::memcpy(to, updates.as<T>() + source, static_cast<std::size_t>(count) * sizeof(T));
      return;
    }
    if constexpr (std::is_same_v<T, float>) {
      std::array<float, 256> values;
      const auto most = static_cast<std::int64_t>(values.size());
      for (std::int64_t i = 0; i < count; i += most) {
        const std::int64_t n = std::min(count - i, most);
        load_floats(updates.dtype, updates.data, source + i, 1, n, values.data());
        for (std::int64_t k = 0; k < n; ++k) {
          to[i + k] = combined(mode_, to[i + k], values[static_cast<std::size_t>(k)]);
        }
      }
    } else if constexpr (std::is_same_v<T, std::int32_t>) {
      const T* values = updates.as<T>() + source;
      for (std::int64_t i = 0; i < count; ++i) to[i] = combined(mode_, to[i], values[i]);
    }
  }

  std::string op_;
  std::string name_;
  Mode mode_;
  bool validates_;
  DType dtype_;
  std::int64_t count_;
};

/// data [outer, dim, inner], indices [count], updates [outer, count, inner].
class ScatterAxis final : public Scatter {
 public:
  explicit ScatterAxis(const PrepareContext& context) : Scatter(context) {
    const TensorLayout& data = context.inputs[0];
    const std::int64_t axis = context.op.axis("axis", static_cast<std::size_t>(data.rank));
    outer_ = product(data, 0, axis);
    dim_ = data.dim(static_cast<int>(axis));
    inner_ = product(data, axis + 1, data.rank);
    count_ = context.inputs[1].count();
  }

 private:
  std::int64_t n_parts() const override { return outer_; }
  std::int64_t n_runs() const override { return count_; }
  Run run_of(const TensorView& indices, std::int64_t part, std::int64_t i) const override {
    const std::int64_t index = checked(indices, i, dim_);
    return {(part * dim_ + index) * inner_, (part * count_ + i) * inner_, inner_};
  }

  std::int64_t outer_;
  std::int64_t dim_;
  std::int64_t inner_;
  std::int64_t count_;
};

/// data [outer, dim, inner], indices and updates [outer, count, inner].
class ScatterAlongAxis final : public Scatter {
 public:
  explicit ScatterAlongAxis(const PrepareContext& context) : Scatter(context) {
    const TensorLayout& data = context.inputs[0];
    const std::int64_t axis = context.op.axis("axis", static_cast<std::size_t>(data.rank));
    outer_ = product(data, 0, axis);
    dim_ = data.dim(static_cast<int>(axis));
    inner_ = product(data, axis + 1, data.rank);
    count_ = context.inputs[1].dim(static_cast<int>(axis));
  }

 private:
  std::int64_t n_parts() const override { return outer_; }
  std::int64_t n_runs() const override { return count_ * inner_; }
  Run run_of(const TensorView& indices, std::int64_t part, std::int64_t i) const override {
    const std::int64_t source = part * count_ * inner_ + i;
    const std::int64_t index = checked(indices, source, dim_);
    return {(part * dim_ + index) * inner_ + i % inner_, source, 1};
  }

  std::int64_t outer_;
  std::int64_t dim_;
  std::int64_t inner_;
  std::int64_t count_;
};

/// indices [count, depth]: data[indices[i, 0], ..., indices[i, depth - 1]] takes updates[i].
class ScatterNd final : public Scatter {
 public:
  explicit ScatterNd(const PrepareContext& context) : Scatter(context) {
    const TensorLayout& data = context.inputs[0];
    const TensorLayout& indices = context.inputs[1];
    depth_ = indices.dim(indices.rank - 1);
    count_ = product(indices, 0, indices.rank - 1);
    for (std::int64_t i = 0; i < depth_; ++i) dims_.push_back(data.dim(static_cast<int>(i)));
    inner_ = product(data, depth_, data.rank);
  }

 private:
  std::int64_t n_parts() const override { return 1; }
  std::int64_t n_runs() const override { return count_; }
  Run run_of(const TensorView& indices, std::int64_t, std::int64_t i) const override {
    std::int64_t target = 0;
    for (std::int64_t d = 0; d < depth_; ++d) {
      const std::int64_t dim = dims_[static_cast<std::size_t>(d)];
      target = target * dim + checked(indices, i * depth_ + d, dim);
    }
    return {target * inner_, i * inner_, inner_};
  }

  std::int64_t depth_;
  std::int64_t count_;
  std::int64_t inner_;
  std::vector<std::int64_t> dims_;
};

template <typename Kernel>
std::unique_ptr<Step> prepare(const PrepareContext& context) {
  return std::make_unique<Kernel>(context);
}

KernelRecord record(std::string_view op, Prepare prepare_step) {
  return {.op = op, .operands = {"data", "indices", "updates"}, .prepare = prepare_step};
}

}  // namespace

std::span<const KernelRecord> scatter_kernels() {
  static const KernelRecord records[] = {
      record("scatter", prepare<ScatterAxis>),
      record("scatter_along_axis", prepare<ScatterAlongAxis>),
      record("scatter_nd", prepare<ScatterNd>),
  };
  return records;
}

}  // namespace pyane::emulator
