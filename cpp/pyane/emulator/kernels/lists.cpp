#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/emulator/kernels/registry.h"

// Lists: laid out as one tensor of their elements. A written list is a new one, as everything in
// MIL is.

namespace pyane::emulator {
namespace {

/// The list itself, and elements of it named by indices.
class ListStep : public Step {
 public:
  explicit ListStep(const PrepareContext& context, const TensorLayout& list)
      : where_(context.op.record().name + " '" + context.op.operation().display_name() + "': "),
        length_(list.dim(0)),
        list_bytes_(static_cast<std::size_t>(list.count()) * list.element_bytes()),
        element_bytes_(list_bytes_ / static_cast<std::size_t>(length_)) {}

 protected:
  std::size_t list_bytes() const { return list_bytes_; }
  std::size_t element_bytes() const { return element_bytes_; }
  /// Offset of the element that `indices` names as its i-th, in bytes.
  std::size_t offset(const TensorView& indices, std::int64_t i) const {
    const std::int64_t index = indices.as<const std::int32_t>()[i];
    if (index < 0 || index >= length_) {
      throw EvaluateError(where_ + "the index must lie in [0, " + std::to_string(length_) +
                              ") of the list, which does not grow, got " + std::to_string(index),
                          0);
    }
    return static_cast<std::size_t>(index) * element_bytes_;
  }

 private:
  std::string where_;
  std::int64_t length_;
  std::size_t list_bytes_;
  std::size_t element_bytes_;
};

/// list_read and list_gather: ls, indices.
class ListRead final : public ListStep {
 public:
  using ListStep::ListStep;
  void run(const StepArguments& arguments) const override {
    const TensorView& indices = arguments.inputs[1];
    for (std::int64_t i = 0; i < indices.count(); ++i) {
      std::memcpy(arguments.outputs[0].data + static_cast<std::size_t>(i) * element_bytes(),
                  arguments.inputs[0].data + offset(indices, i), element_bytes());
    }
  }
};

/// list_write and list_scatter: ls, indices, value. The last of equal indices counts.
class ListWrite final : public ListStep {
 public:
  using ListStep::ListStep;
  void run(const StepArguments& arguments) const override {
    const TensorView& indices = arguments.inputs[1];
    std::byte* const out = arguments.outputs[0].data;
    std::memcpy(out, arguments.inputs[0].data, list_bytes());
    for (std::int64_t i = 0; i < indices.count(); ++i) {
      std::memcpy(out + offset(indices, i),
                  arguments.inputs[2].data + static_cast<std::size_t>(i) * element_bytes(),
                  element_bytes());
    }
  }
};

class MakeList final : public Step {
 public:
  void run(const StepArguments& arguments) const override {
    const TensorView& out = arguments.outputs[0];
    std::memset(out.data, 0, static_cast<std::size_t>(out.count()) * out.element_bytes());
  }
};

class ListLength final : public Step {
 public:
  explicit ListLength(std::int64_t length) : length_(static_cast<std::int32_t>(length)) {}
  void run(const StepArguments& arguments) const override {
    *arguments.outputs[0].as<std::int32_t>() = length_;
  }

 private:
  std::int32_t length_;
};

template <typename Kernel>
std::unique_ptr<Step> prepare(const PrepareContext& context) {
  return std::make_unique<Kernel>(context, context.inputs[0]);
}

std::unique_ptr<Step> prepare_make(const PrepareContext&) { return std::make_unique<MakeList>(); }

std::unique_ptr<Step> prepare_length(const PrepareContext& context) {
  const std::int64_t length = context.op.type("ls").length;
  if (length == kUnknownDim) context.op.fail("the emulator needs a length known at compile time");
  return std::make_unique<ListLength>(length);
}

}  // namespace

std::span<const KernelRecord> list_kernels() {
  static const std::vector<KernelRecord> records = {
      {.op = "list_gather", .operands = {"ls", "indices"}, .prepare = prepare<ListRead>},
      {.op = "list_length", .operands = {}, .prepare = prepare_length},
      {.op = "list_read", .operands = {"ls", "index"}, .prepare = prepare<ListRead>},
      {.op = "list_scatter", .operands = {"ls", "indices", "value"}, .prepare = prepare<ListWrite>},
      {.op = "list_write", .operands = {"ls", "index", "value"}, .prepare = prepare<ListWrite>},
      {.op = "make_list", .operands = {}, .prepare = prepare_make},
  };
  return records;
}

}  // namespace pyane::emulator
