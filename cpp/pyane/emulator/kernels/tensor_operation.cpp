#include <algorithm>
#include <array>

#include "pyane/emulator/kernels/copy.h"
#include "pyane/emulator/kernels/fill.h"
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

/// Constant padding: fills, then copies into the middle. Only the border is filled twice at most.
class PadConstant final : public Step {
 public:
  PadConstant(std::unique_ptr<Step> fill, std::unique_ptr<CopyToMany> copy)
      : fill_(std::move(fill)), copy_(std::move(copy)) {}
  void run(const StepArguments& arguments) const override {
    fill_->run({.inputs = {}, .outputs = arguments.outputs});
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
  auto fill = make_fill(out, value_bits(context.op, "constant_val", out.dtype));
  return std::make_unique<PadConstant>(std::move(fill), std::move(copy));
}

}  // namespace

std::span<const KernelRecord> tensor_operation_kernels() {
  static const KernelRecord records[] = {
      {.op = "concat", .operands = {"values"}, .place = place_concat},
      {.op = "pad",
       .operands = {"x"},
       .prepare = prepare_pad,
       .strided_inputs = true,
       .strided_outputs = true},
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
