#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "pyane/emulator/tensor_view.h"
#include "pyane/mil/op_set.h"

// How operations are evaluated. One KernelRecord per operation of mil/op_set, keyed by its name;
// kernels/<family>.cpp holds the records of a family, registry.cpp lists the families.
//
// At compile time the planner lays out every tensor, then calls `prepare`, which checks what the
// verifier could not, reads attributes, packs constants and returns a Step. At evaluation the
// executor fills in addresses and calls Step::run. Layouts never change after `prepare`.

namespace pyane::emulator {

/// What `prepare` knows about one operation of the program.
struct PrepareContext {
  /// Attributes and defaults; fail() reports errors with their place.
  const mil::OpContext& op;
  /// Run-time operands in the order of KernelRecord::operands, a variadic one spread out. Absent
  /// optional operands are is_absent(). `data` is set for constants, nullptr for the rest.
  std::span<const TensorView> inputs;
  /// `data` is nullptr.
  std::span<const TensorView> outputs;
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

/// Evaluation of one operation.
struct KernelRecord {
  std::string_view op;  ///< Name in mil/op_set.
  /// Inputs that are read at evaluation, e.g. {"x", "weight", "bias"}; every other input is an
  /// attribute taken from PrepareContext::op.
  std::vector<std::string_view> operands;
  Prepare prepare = nullptr;
  /// What `run` takes. Where false the planner hands over contiguous tensors, copying if it must.
  bool strided_inputs = false;
  bool strided_outputs = false;
};

/// nullptr when the emulator does not evaluate that operation.
const KernelRecord* find_kernel(std::string_view op);

/// Every record, by name.
const std::vector<const KernelRecord*>& all_kernels();

// The families, one function per file of kernels/.
std::span<const KernelRecord> conv_kernels();    // conv.cpp
std::span<const KernelRecord> linear_kernels();  // linear.cpp: matmul, linear

}  // namespace pyane::emulator
