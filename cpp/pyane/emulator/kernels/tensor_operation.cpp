#include <algorithm>
#include <array>
#include <cstring>

#include "pyane/base/half.h"
#include "pyane/emulator/kernels/copy.h"
#include "pyane/emulator/kernels/registry.h"

namespace pyane::emulator {
namespace {

using mil::OpContext;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::optional<SubTensor> view_split(const OpContext& op, const TensorLayout& x, std::size_t output,
                                    const Shape& dims) {
  const std::int64_t axis = op.axis("axis", at(x.rank));
  std::int64_t begin = 0;
  if (op.has("split_sizes")) {
    const std::vector<std::int64_t> sizes = op.integers("split_sizes");
    for (std::size_t i = 0; i < output; ++i) begin += sizes[i];
  } else {
    begin = static_cast<std::int64_t>(output) * dims[at(axis)];
  }
  SubTensor view{.layout = x, .offset = begin * x.stride(static_cast<int>(axis))};
  view.layout.dims[at(axis)] = dims[at(axis)];
  return view;
}

SubTensor place_concat(const OpContext& op, const TensorLayout& result, std::size_t input) {
  const auto& types = op.types("values");
  const auto dim_of = [&](std::size_t i, std::int64_t axis) {
    return types[i]->dims.empty() ? 1 : types[i]->dims[at(axis)];
  };
  const std::int64_t axis = op.axis("axis", at(result.rank));
  SubTensor place{.layout = result};
  place.layout.dims[at(axis)] = dim_of(input, axis);
  if (op.boolean("interleave")) {
    const auto n = static_cast<std::int64_t>(types.size());
    place.offset = static_cast<std::int64_t>(input) * result.strides[at(axis)];
    place.layout.strides[at(axis)] *= n;
    return place;
  }
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < input; ++i) begin += dim_of(i, axis);
  if (place.layout.dims[at(axis)] > 0) place.offset = begin * result.strides[at(axis)];
  if (types[input]->dims.empty()) place.layout.rank = 0;
  return place;
}

SubTensor place_stack(const OpContext& op, const TensorLayout& result, std::size_t input) {
  const std::int64_t axis = op.axis("axis", at(result.rank));
  SubTensor place{.layout = result};
  place.offset = static_cast<std::int64_t>(input) * result.strides[at(axis)];
  place.layout.rank = 0;
  for (std::int64_t i = 0; i < result.rank; ++i) {
    if (i == axis) continue;
    const auto to = static_cast<std::size_t>(place.layout.rank++);
    place.layout.dims[to] = result.dims[at(i)];
    place.layout.strides[to] = result.strides[at(i)];
  }
  return place;
}

/// Copies `source` of one layout into each of several places of the output.
class CopyToMany final : public Step {
 public:
  void add(const TensorLayout& source, const TensorLayout& target, std::int64_t source_offset,
           std::int64_t target_offset) {
    bytes_ = static_cast<std::int64_t>(source.element_bytes());
    copies_.push_back({make_copy(source, target), source_offset, target_offset});
  }

  void run(const StepArguments& arguments) const override {
    for (const Part& part : copies_) {
      TensorView from = arguments.inputs[0];
      TensorView to = arguments.outputs[0];
      from.data += part.source_offset * bytes_;
      to.data += part.target_offset * bytes_;
      part.copy->run({.inputs = std::span(&from, 1), .outputs = std::span(&to, 1)});
    }
  }

 private:
  struct Part {
    std::unique_ptr<Step> copy;
    std::int64_t source_offset;
    std::int64_t target_offset;
  };
  std::vector<Part> copies_;
  std::int64_t bytes_ = 1;
};

/// Seen as [1, d0, 1, d1, ...] the input broadcasts to [r0, d0, r1, d1, ...], the output.
std::unique_ptr<Step> prepare_tile(const PrepareContext& context) {
  const TensorLayout& x = context.inputs[0];
  const TensorLayout& out = context.outputs[0];
  const std::vector<std::int64_t> reps = context.op.integers("reps");
  TensorLayout source;
  TensorLayout target;
  source.dtype = target.dtype = x.dtype;
  const auto append = [&](std::int64_t dim, std::int64_t from, std::int64_t to) {
    if (dim == 1) return;
    const auto i = at(source.rank);
    if (source.rank == kMaxRank) {
      context.op.fail("the emulator tiles fewer dimensions at once, got x " +
                      to_string(context.op.type("x")));
    }
    source.dims[i] = target.dims[i] = dim;
    source.strides[i] = from;
    target.strides[i] = to;
    source.rank = ++target.rank;
  };
  for (std::int64_t i = 0; i < x.rank; ++i) {
    append(reps[at(i)], 0, out.strides[at(i)] * x.dims[at(i)]);
    append(x.dims[at(i)], x.strides[at(i)], out.strides[at(i)]);
  }
  return make_copy(source, target);
}

/// Fills the output with one value.
class Fill final : public Step {
 public:
  Fill(const TensorLayout& target, std::array<std::byte, 8> value) : value_(value) {
    TensorLayout source = target;
    source.strides.fill(0);
    copy_ = make_copy(source, target);
  }

  void run(const StepArguments& arguments) const override {
    alignas(8) std::array<std::byte, 8> value = value_;
    TensorView source;
    source.data = value.data();
    copy_->run({.inputs = std::span(&source, 1), .outputs = arguments.outputs});
  }

 private:
  std::array<std::byte, 8> value_;
  std::unique_ptr<Step> copy_;
};

/// Bits of a floating-point attribute in `dtype`, an integer or bool one likewise.
std::array<std::byte, 8> value_bits(const OpContext& op, const char* input, DType dtype) {
  std::array<std::byte, 8> bits{};
  const auto put = [&](auto value) { std::memcpy(bits.data(), &value, sizeof(value)); };
  if (dtype == DType::kBool) {
    put(static_cast<std::uint8_t>(op.boolean(input)));
  } else if (dtype == DType::kFp16) {
    put(float_to_half(static_cast<float>(op.real(input))));
  } else if (dtype == DType::kFp32) {
    put(static_cast<float>(op.real(input)));
  } else {
    put(op.integer(input));  // Little endian: the low bytes are the narrower value.
  }
  return bits;
}

std::unique_ptr<Step> prepare_fill(const PrepareContext& context) {
  const TensorLayout& out = context.outputs[0];
  return std::make_unique<Fill>(out, value_bits(context.op, "value", out.dtype));
}

/// Writes the dimensions of x, which the types tell.
class ShapeOf final : public Step {
 public:
  explicit ShapeOf(Shape dims) : dims_(std::move(dims)) {}
  void run(const StepArguments& arguments) const override {
    std::copy(dims_.begin(), dims_.end(), arguments.outputs[0].as<std::int32_t>());
  }

 private:
  Shape dims_;
};

std::unique_ptr<Step> prepare_shape(const PrepareContext& context) {
  const Shape& dims = context.op.dims("x");
  if (!element_count(dims)) {
    context.op.fail("the emulator needs the dimensions of x at compile time, got " +
                    to_string(dims));
  }
  return std::make_unique<ShapeOf>(dims);
}

/// Constant padding: fills, then copies into the middle. Only the border is filled twice at most.
class PadConstant final : public Step {
 public:
  PadConstant(std::unique_ptr<Step> fill, std::unique_ptr<CopyToMany> copy)
      : fill_(std::move(fill)), copy_(std::move(copy)) {}
  void run(const StepArguments& arguments) const override {
    fill_->run(arguments);
    copy_->run(arguments);
  }

 private:
  std::unique_ptr<Step> fill_;
  std::unique_ptr<CopyToMany> copy_;
};

/// One output dimension as runs of the input: `count` elements from `source` on, by `step`.
struct Run {
  std::int64_t source;
  std::int64_t target;
  std::int64_t count;
  std::int64_t step;
};

std::vector<Run> padded_runs(std::int64_t dim, std::int64_t before, std::int64_t after,
                             const std::string& mode) {
  std::vector<Run> runs = {{0, before, dim, 1}};
  if (mode == "constant") return runs;
  const bool reflects = mode == "reflect";
  if (before > 0) runs.push_back({reflects ? before : 0, 0, before, reflects ? -1 : 0});
  if (after > 0) {
    runs.push_back({reflects ? dim - 2 : dim - 1, before + dim, after, reflects ? -1 : 0});
  }
  return runs;
}

std::unique_ptr<Step> prepare_pad(const PrepareContext& context) {
  const TensorLayout& x = context.inputs[0];
  const TensorLayout& out = context.outputs[0];
  const std::vector<std::int64_t> pad = context.op.integers("pad");
  const std::string mode = context.op.string("mode");
  const std::size_t first = at(x.rank) - pad.size() / 2;
  // Every combination of runs, one per dimension, is a box.
  std::vector<std::vector<Run>> runs;
  for (std::size_t i = 0; i < at(x.rank); ++i) {
    runs.push_back(
        i < first ? padded_runs(x.dims[i], 0, 0, mode)
                  : padded_runs(x.dims[i], pad[2 * (i - first)], pad[2 * (i - first) + 1], mode));
  }
  auto copy = std::make_unique<CopyToMany>();
  std::vector<std::size_t> choice(runs.size(), 0);
  for (bool is_done = false; !is_done;) {
    TensorLayout source = x;
    TensorLayout target = out;
    std::int64_t source_offset = 0;
    std::int64_t target_offset = 0;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const Run& run = runs[i][choice[i]];
      source.dims[i] = target.dims[i] = run.count;
      source_offset += run.source * x.strides[i];
      source.strides[i] = x.strides[i] * run.step;
      target_offset += run.target * out.strides[i];
    }
    if (source.count() > 0) copy->add(source, target, source_offset, target_offset);
    is_done = true;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      if (++choice[i] < runs[i].size()) {
        is_done = false;
        break;
      }
      choice[i] = 0;
    }
  }
  if (mode != "constant") return copy;
  auto fill = std::make_unique<Fill>(out, value_bits(context.op, "constant_val", out.dtype));
  return std::make_unique<PadConstant>(std::move(fill), std::move(copy));
}

}  // namespace

std::span<const KernelRecord> tensor_operation_kernels() {
  static const KernelRecord records[] = {
      {.op = "concat", .operands = {"values"}, .place = place_concat},
      {.op = "fill", .operands = {}, .prepare = prepare_fill, .strided_outputs = true},
      {.op = "fill_like", .operands = {}, .prepare = prepare_fill, .strided_outputs = true},
      {.op = "pad",
       .operands = {"x"},
       .prepare = prepare_pad,
       .strided_inputs = true,
       .strided_outputs = true},
      {.op = "shape", .operands = {}, .prepare = prepare_shape},
      {.op = "split", .operands = {"x"}, .view = view_split},
      {.op = "stack", .operands = {"values"}, .place = place_stack},
      {.op = "tile",
       .operands = {"x"},
       .prepare = prepare_tile,
       .strided_inputs = true,
       .strided_outputs = true},
  };
  return records;
}

}  // namespace pyane::emulator
