#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "pyane/emulator/kernels/tile.h"
#include "pyane/emulator/tensor_view.h"
#include "pyane/mil/op_set.h"

// How operations are evaluated. One KernelRecord per operation of mil/op_set, keyed by its name;
// kernels/<family>.cpp holds the records of a family, registry.cpp lists the families.
//
// At compile time the planner lays out every tensor, then calls `prepare`, which checks what the
// verifier could not, reads attributes, packs constants and returns a Step. At evaluation the
// executor fills in addresses and calls Step::run. Layouts never change after `prepare`.

namespace pyane::mil {
struct VerifiedFunction;
}

namespace pyane::emulator {

namespace hardware {
struct Numerics;
}

/// What `prepare` knows about one operation of the program.
struct PrepareContext {
  /// Attributes and defaults; fail() reports errors with their place.
  const mil::OpContext& op;
  /// Run-time operands in the order of KernelRecord::operands, a variadic one spread out. Absent
  /// optional operands are is_absent(). `data` is set for constants, nullptr for the rest.
  std::span<const TensorView> inputs;
  /// `data` is nullptr.
  std::span<const TensorView> outputs;
  /// Compute as this engine does; nullptr: IEEE arithmetic.
  const hardware::Numerics* hardware = nullptr;
  /// Where the operands come from: value `node_inputs[i]` of `function` is inputs[i]; negative:
  /// absent.
  const mil::VerifiedFunction* function = nullptr;
  std::span<const int> node_inputs = {};
};

/// Addresses for one evaluation; dims, strides and order as in PrepareContext.
struct StepArguments {
  std::span<const TensorView> inputs;
  std::span<const TensorView> outputs;
  /// Step::scratch_bytes() bytes, 64-byte aligned, contents undefined.
  std::byte* scratch = nullptr;
};

/// One operation (or several fused ones), ready to be evaluated any number of times and by several
/// threads at once: `run` keeps no state in the step and allocates nothing. Outputs do not overlap
/// inputs. Work is split by shape, never by thread count (base/thread_pool.h).
class Step {
 public:
  virtual ~Step() = default;
  /// @throws EvaluateError  for values that the operation cannot take (gather indices).
  virtual void run(const StepArguments& arguments) const = 0;
  /// Memory needed while `run` is active, shared with other steps.
  virtual std::size_t scratch_bytes() const { return 0; }
  /// false: input `i` was copied or packed in `prepare`, so its constant need not be kept.
  virtual bool reads_input(std::size_t i) const {
    static_cast<void>(i);
    return true;
  }
};

using Prepare = std::unique_ptr<Step> (*)(const PrepareContext& context);

/// One elementwise operation as a function on tiles; operands broadcast. The result is rounded to
/// its element type afterwards by whoever runs it.
struct TileNode {
  TileOp op = TileOp::kIdentity;
  std::array<float, 2> parameters{};
};
using MakeTileNode = TileNode (*)(const mil::OpContext& op);

/// What an operation on floats does along one axis, where it can be part of a chain of elementwise
/// operations (kernels/fused.h).
enum class AxisForm : std::uint8_t { kNone, kSum, kMean, kMax, kSumSquare, kL2Norm, kSoftmax };

/// A tensor inside another: same memory, other dimensions and strides.
struct SubTensor {
  TensorLayout layout;
  std::int64_t offset = 0;  ///< In elements, from the start of the other.
};

/// Result `output` of an operation that only renames the elements of its first operand, laid out as
/// `x`. nullopt when such a layout does not exist: then the planner tries again with a contiguous
/// copy of x, for which it must exist unless `prepare` is given.
using MakeView = std::optional<SubTensor> (*)(const mil::OpContext& op, const TensorLayout& x,
                                              std::size_t output, const Shape& dims);

/// Where operand `input` of an operation that only collects its operands stands in the result.
using MakePlace = SubTensor (*)(const mil::OpContext& op, const TensorLayout& result,
                                std::size_t input);

/// Evaluation of one operation: one of tile, view, place and prepare is given, or one of the flags
/// at the end is set; view may have prepare beside it.
struct KernelRecord {
  std::string_view op;  ///< Name in mil/op_set.
  /// Inputs that are read at evaluation, e.g. {"x", "weight", "bias"}; every other input is an
  /// attribute taken from PrepareContext::op.
  std::vector<std::string_view> operands;
  Prepare prepare = nullptr;
  /// What a prepared step takes. Where false the planner hands over contiguous tensors, copying if
  /// it must.
  bool strided_inputs = false;
  bool strided_outputs = false;
  MakeTileNode tile = nullptr;
  /// tile: operands after the first are vectors over dimension 1 of the first.
  bool channel_operands = false;
  /// prepare: what it does when it is fused; `prepare` is for where it is not.
  AxisForm along_axis = AxisForm::kNone;
  MakeView view = nullptr;
  MakePlace place = nullptr;
  /// Results differ from one evaluation to the next: never worked out when compiling.
  bool is_random = false;
  /// The first operand is a state: its contents become the result; the second operand becomes its
  /// contents (before they are read, when both). The planner does it.
  bool reads_state = false;
  bool writes_state = false;
  /// Runs blocks (control_flow.h).
  bool is_control = false;
};

/// nullptr when the emulator does not evaluate that operation.
const KernelRecord* find_kernel(std::string_view op);
using FindKernel = const KernelRecord* (*)(std::string_view op);

/// Every record, by name.
const std::vector<const KernelRecord*>& all_kernels();

// The families, one function per file of kernels/.
std::span<const KernelRecord> activation_kernels();
std::span<const KernelRecord> attention_kernels();
std::span<const KernelRecord> constexpr_kernels();
std::span<const KernelRecord> control_kernels();
std::span<const KernelRecord> conv_kernels();
std::span<const KernelRecord> einsum_kernels();
std::span<const KernelRecord> elementwise_binary_kernels();
std::span<const KernelRecord> elementwise_unary_kernels();
std::span<const KernelRecord> gather_kernels();
std::span<const KernelRecord> generate_kernels();
std::span<const KernelRecord> linear_kernels();
std::span<const KernelRecord> list_kernels();
std::span<const KernelRecord> non_maximum_suppression_kernels();
std::span<const KernelRecord> normalization_kernels();
std::span<const KernelRecord> pool_kernels();
std::span<const KernelRecord> random_kernels();
std::span<const KernelRecord> quantization_kernels();
std::span<const KernelRecord> recurrent_kernels();
std::span<const KernelRecord> reduction_kernels();
std::span<const KernelRecord> resize_kernels();
std::span<const KernelRecord> sampling_kernels();
std::span<const KernelRecord> scatter_kernels();
std::span<const KernelRecord> sequence_kernels();
std::span<const KernelRecord> slice_kernels();
std::span<const KernelRecord> sort_kernels();
std::span<const KernelRecord> space_depth_kernels();
std::span<const KernelRecord> tensor_operation_kernels();
std::span<const KernelRecord> tensor_transformation_kernels();

}  // namespace pyane::emulator
