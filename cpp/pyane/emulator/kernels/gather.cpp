#include <algorithm>
#include <chrono>
#include <cstring>

#include "pyane/base/error.h"
#include "pyane/base/thread_pool.h"
#include "pyane/emulator/kernels/float_row.h"
#include "pyane/emulator/kernels/registry.h"

// Gathers copy whole runs of elements from places that the indices name. Indices are checked at
// evaluation: anything outside is an error, never a read.

namespace pyane::emulator {
namespace {

/// Elements that one thread copies at a time.
constexpr std::int64_t kGrain = 1 << 14;

class GatherStep : public Step {
 protected:
  explicit GatherStep(const PrepareContext& context)
      : op_(context.op.record().name),
        name_(context.op.operation().display_name()),
        validates_(context.op.boolean("validate_indices")) {}

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

  /// body(i) for i in [0, n), each moving about `elements`.
  template <typename Body>
  static void for_each(std::int64_t n, std::int64_t elements, const Body& body) {
    const std::int64_t per_chunk =
        std::max<std::int64_t>(kGrain / std::max<std::int64_t>(elements, 1), 1);
    const auto n_chunks = static_cast<std::size_t>((n + per_chunk - 1) / per_chunk);
    const auto run = [&](std::size_t chunk) {
      const std::int64_t begin = static_cast<std::int64_t>(chunk) * per_chunk;
      for (std::int64_t i = begin; i < std::min(begin + per_chunk, n); ++i) body(i);
    };
    if (n_chunks <= 1) {
      if (n_chunks == 1) run(0);
      return;
    }
    parallel_for(n_chunks, std::chrono::nanoseconds(n * elements / 2), run);
  }

  std::string op_;
  std::string name_;
  bool validates_;
};

std::int64_t product(const TensorLayout& x, std::int64_t begin, std::int64_t end) {
  std::int64_t n = 1;
  for (std::int64_t i = begin; i < end; ++i) n *= x.dim(static_cast<int>(i));
  return n;
}

/// x [batch, outer, dim, inner], indices [batch, count] -> [batch, outer, count, inner].
class Gather final : public GatherStep {
 public:
  explicit Gather(const PrepareContext& context) : GatherStep(context) {
    const TensorLayout& x = context.inputs[0];
    const std::int64_t axis = context.op.axis("axis", static_cast<std::size_t>(x.rank));
    const std::int64_t batch_dims = context.op.integer("batch_dims");
    batch_ = product(x, 0, batch_dims);
    outer_ = product(x, batch_dims, axis);
    dim_ = x.dim(static_cast<int>(axis));
    inner_ = product(x, axis + 1, x.rank);
    count_ = product(context.inputs[1], batch_dims, context.inputs[1].rank);
    n_bytes_ = static_cast<std::size_t>(inner_) * x.element_bytes();
  }

  void run(const StepArguments& arguments) const override {
    const std::byte* x = arguments.inputs[0].data;
    const TensorView& indices = arguments.inputs[1];
    std::byte* out = arguments.outputs[0].data;
    const auto bytes = static_cast<std::int64_t>(n_bytes_);
    if (n_bytes_ == 0) return;
    for_each(batch_ * outer_ * count_, inner_, [&](std::int64_t i) {
      const std::int64_t row = i / count_;  // Of [batch, outer].
      const std::int64_t index = checked(indices, row / outer_ * count_ + i % count_, dim_);
      std::memcpy(out + i * bytes, x + (row * dim_ + index) * bytes, n_bytes_);
    });
  }

 private:
  std::int64_t batch_;
  std::int64_t outer_;
  std::int64_t dim_;
  std::int64_t inner_;
  std::int64_t count_;
  std::size_t n_bytes_;
};

/// out[o, j, i] = x[o, indices[o, j, i], i]
class GatherAlongAxis final : public GatherStep {
 public:
  explicit GatherAlongAxis(const PrepareContext& context) : GatherStep(context) {
    const TensorLayout& x = context.inputs[0];
    const std::int64_t axis = context.op.axis("axis", static_cast<std::size_t>(x.rank));
    outer_ = product(x, 0, axis);
    dim_ = x.dim(static_cast<int>(axis));
    count_ = context.inputs[1].dim(static_cast<int>(axis));
    inner_ = product(x, axis + 1, x.rank);
    bytes_ = static_cast<std::int64_t>(x.element_bytes());
  }

  void run(const StepArguments& arguments) const override {
    const std::byte* x = arguments.inputs[0].data;
    const TensorView& indices = arguments.inputs[1];
    std::byte* out = arguments.outputs[0].data;
    for_each(outer_ * count_, inner_, [&](std::int64_t row) {
      for (std::int64_t i = 0; i < inner_; ++i) {
        const std::int64_t to = row * inner_ + i;
        const std::int64_t index = checked(indices, to, dim_);
        std::memcpy(out + to * bytes_, x + ((row / count_ * dim_ + index) * inner_ + i) * bytes_,
                    static_cast<std::size_t>(bytes_));
      }
    });
  }

 private:
  std::int64_t outer_;
  std::int64_t dim_;
  std::int64_t count_;
  std::int64_t inner_;
  std::int64_t bytes_;
};

/// indices [batch, count, depth]: out[b, c] = x[b, indices[b, c, 0], ..., indices[b, c, depth -
/// 1]].
class GatherNd final : public GatherStep {
 public:
  explicit GatherNd(const PrepareContext& context) : GatherStep(context) {
    const TensorLayout& x = context.inputs[0];
    const TensorLayout& indices = context.inputs[1];
    const std::int64_t batch_dims = context.op.integer("batch_dims");
    depth_ = indices.dim(indices.rank - 1);
    count_ = product(indices, batch_dims, indices.rank - 1);
    batch_ = product(x, 0, batch_dims);
    for (std::int64_t i = 0; i < depth_; ++i) {
      dims_.push_back(x.dim(static_cast<int>(batch_dims + i)));
    }
    inner_ = product(x, batch_dims + depth_, x.rank);
    n_bytes_ = static_cast<std::size_t>(inner_) * x.element_bytes();
  }

  void run(const StepArguments& arguments) const override {
    const std::byte* x = arguments.inputs[0].data;
    const TensorView& indices = arguments.inputs[1];
    std::byte* out = arguments.outputs[0].data;
    const auto bytes = static_cast<std::int64_t>(n_bytes_);
    if (n_bytes_ == 0) return;
    for_each(batch_ * count_, inner_, [&](std::int64_t i) {
      std::int64_t from = i / count_;
      for (std::int64_t d = 0; d < depth_; ++d) {
        const std::int64_t dim = dims_[static_cast<std::size_t>(d)];
        from = from * dim + checked(indices, i * depth_ + d, dim);
      }
      std::memcpy(out + i * bytes, x + from * bytes, n_bytes_);
    });
  }

 private:
  std::int64_t batch_;
  std::int64_t count_;
  std::int64_t depth_;
  std::int64_t inner_;
  std::size_t n_bytes_;
  std::vector<std::int64_t> dims_;
};

template <typename Kernel>
std::unique_ptr<Step> prepare(const PrepareContext& context) {
  return std::make_unique<Kernel>(context);
}

}  // namespace

std::span<const KernelRecord> gather_kernels() {
  static const KernelRecord records[] = {
      {.op = "gather", .operands = {"x", "indices"}, .prepare = prepare<Gather>},
      {.op = "gather_along_axis",
       .operands = {"x", "indices"},
       .prepare = prepare<GatherAlongAxis>},
      {.op = "gather_nd", .operands = {"x", "indices"}, .prepare = prepare<GatherNd>},
  };
  return records;
}

}  // namespace pyane::emulator
