#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "pyane/emulator/kernels/float_row.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/rows.h"
#include "pyane/emulator/scratch.h"

// Sorting along one axis. Elements become integers of the same order with their index below, so
// that equal elements keep the order they have in x. NaN is larger than everything, as in PyTorch.

namespace pyane::emulator {
namespace {

/// Of the same order as the floats; both zeros are equal.
std::uint32_t ordered(float value) {
  if (std::isnan(value)) return std::numeric_limits<std::uint32_t>::max();
  const auto bits = std::bit_cast<std::uint32_t>(value + 0.0F);  // -0 becomes 0.
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

std::uint32_t ordered(std::int64_t value) {
  return static_cast<std::uint32_t>(value + (std::int64_t{1} << 31));
}

void store_index(DType dtype, std::byte* data, std::int64_t offset, std::uint32_t index) {
  const std::size_t n_bytes = dtype_size(dtype);  // Little endian: the low bytes.
  std::memcpy(data + offset * static_cast<std::int64_t>(n_bytes), &index, n_bytes);
}

class SortStep : public Step {
 public:
  SortStep(const PrepareContext& context, std::int64_t n_wanted)
      : from_(context.inputs[0], axes(context)),
        is_ascending_(context.op.boolean("ascending")),
        n_wanted_(n_wanted) {}

  void run(const StepArguments& arguments) const override {
    const auto n = static_cast<std::size_t>(from_.length());
    for_each_row(from_.n_rows(), from_.length(), [&](std::int64_t begin, std::int64_t end) {
      auto* keys = reinterpret_cast<std::uint64_t*>(
          thread_scratch(n * (sizeof(std::uint64_t) + sizeof(float))));
      auto* values = reinterpret_cast<float*>(keys + n);
      for (std::int64_t row = begin; row < end; ++row) {
        make_keys(arguments.inputs[0].data, from_.offset(row), keys, values);
        const auto wanted = static_cast<std::ptrdiff_t>(n_wanted_);
        if (n_wanted_ < from_.length()) std::nth_element(keys, keys + wanted, keys + n);
        std::sort(keys, keys + wanted);
        store(arguments, row, keys);
      }
    });
  }

 protected:
  static std::vector<std::int64_t> axes(const PrepareContext& context) {
    return {context.op.axis("axis", static_cast<std::size_t>(context.inputs[0].rank))};
  }
  /// Takes the first n_wanted() keys, in order; their low halves are indices.
  virtual void store(const StepArguments& arguments, std::int64_t row,
                     const std::uint64_t* keys) const = 0;

  const Rows& from() const { return from_; }
  std::int64_t n_wanted() const { return n_wanted_; }

 private:
  void make_keys(const std::byte* x, std::int64_t offset, std::uint64_t* keys,
                 float* values) const {
    const std::int64_t n = from_.length();
    const std::uint32_t flip = is_ascending_ ? 0 : std::numeric_limits<std::uint32_t>::max();
    const auto put = [&](std::int64_t i, std::uint32_t order) {
      keys[i] = std::uint64_t{order ^ flip} << 32 | static_cast<std::uint32_t>(i);
    };
    if (is_float(from_.dtype())) {
      from_.load(x, offset, 0, n, values);
      for (std::int64_t i = 0; i < n; ++i) put(i, ordered(values[i]));
    } else {
      for (std::int64_t i = 0; i < n; ++i) put(i, ordered(from_.load_integer(x, offset, i)));
    }
  }

  Rows from_;
  bool is_ascending_;
  std::int64_t n_wanted_;
};

class ArgSort final : public SortStep {
 public:
  explicit ArgSort(const PrepareContext& context)
      : SortStep(context, context.inputs[0].dim(static_cast<int>(axes(context)[0]))),
        to_(context.outputs[0], axes(context)) {}

 private:
  void store(const StepArguments& arguments, std::int64_t row,
             const std::uint64_t* keys) const override {
    const std::int64_t offset = to_.offset(row);
    for (std::int64_t i = 0; i < n_wanted(); ++i) {
      store_index(DType::kInt32, arguments.outputs[0].data, offset + to_.element_offset(i),
                  static_cast<std::uint32_t>(keys[i]));
    }
  }

  Rows to_;
};

/// Sorted whether the program asks for it or not: it leaves the order open then.
class TopK final : public SortStep {
 public:
  explicit TopK(const PrepareContext& context)
      : SortStep(context, context.outputs[0].dim(static_cast<int>(axes(context)[0]))),
        to_(context.outputs[0], axes(context)),
        n_bytes_(context.inputs[0].element_bytes()) {}

 private:
  void store(const StepArguments& arguments, std::int64_t row,
             const std::uint64_t* keys) const override {
    const std::byte* x = arguments.inputs[0].data;
    const auto bytes = static_cast<std::int64_t>(n_bytes_);
    const std::int64_t source = from().offset(row);
    const std::int64_t target = to_.offset(row);
    for (std::int64_t i = 0; i < n_wanted(); ++i) {
      const auto index = static_cast<std::uint32_t>(keys[i]);
      const std::int64_t to = target + to_.element_offset(i);
      std::memcpy(arguments.outputs[0].data + to * bytes,
                  x + (source + from().element_offset(index)) * bytes, n_bytes_);
      if (arguments.outputs.size() > 1) {
        store_index(arguments.outputs[1].dtype, arguments.outputs[1].data, to, index);
      }
    }
  }

  Rows to_;
  std::size_t n_bytes_;
};

template <typename Kernel>
std::unique_ptr<Step> prepare(const PrepareContext& context) {
  return std::make_unique<Kernel>(context);
}

}  // namespace

std::span<const KernelRecord> sort_kernels() {
  static const KernelRecord records[] = {
      {.op = "argsort", .operands = {"x"}, .prepare = prepare<ArgSort>, .strided_inputs = true},
      {.op = "topk", .operands = {"x"}, .prepare = prepare<TopK>, .strided_inputs = true},
  };
  return records;
}

}  // namespace pyane::emulator
