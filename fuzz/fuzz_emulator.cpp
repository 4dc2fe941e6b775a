#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "mil_input.h"
#include "pyane/base/cpu.h"
#include "pyane/base/error.h"
#include "pyane/base/shape.h"
#include "pyane/base/thread_pool.h"
#include "pyane/emulator/constant_evaluator.h"
#include "pyane/emulator/executor.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/planner.h"
#include "pyane/mil/parser.h"
#include "pyane/mil/verifier.h"

// Any program that the emulator takes gives the same bits whether its plan was optimised or not, on
// one thread and on three, on whichever instruction set the input's bytes choose. Programs that
// would take long or much memory are planned but not evaluated.

namespace {

using pyane::emulator::ArenaPool;
using pyane::emulator::Execution;
using pyane::emulator::Plan;
using Buffers = std::vector<std::vector<std::byte>>;

constexpr std::int64_t kMaxElements = std::int64_t{1} << 17;
constexpr double kMaxWork = 1 << 25;

/// Whether each operation's product of operands is small, those of nested blocks included, and none
/// is a loop.
bool is_little_work(const std::vector<pyane::mil::VerifiedOperation>& operations,
                    const std::vector<double>& counts) {
  for (const pyane::mil::VerifiedOperation& operation : operations) {
    if (operation.record->name == "while_loop") return false;
    double work = 1;
    for (const pyane::mil::ValueId id : operation.outputs)
      work *= counts[static_cast<std::size_t>(id)];
    double operands = 1;
    for (const pyane::mil::VerifiedInput& input : operation.inputs) {
      for (const pyane::mil::ValueId id : input.values) {
        operands = std::max(operands, counts[static_cast<std::size_t>(id)]);
      }
    }
    if (work * operands > kMaxWork) return false;
    for (const pyane::mil::VerifiedBlock& block : operation.blocks) {
      if (!is_little_work(block.operations, counts)) return false;
    }
  }
  return true;
}

std::int64_t count_of(const pyane::mil::Type& type) {
  std::int64_t count = pyane::element_count(type.dims).value_or(kMaxElements + 1);
  if (!type.is_tensor() && !type.elements.empty()) {
    // What a state holds, an element of a list.
    count = std::max(count, pyane::element_count(type.elements[0].dims).value_or(kMaxElements + 1));
    if (type.kind == pyane::mil::Type::Kind::kList) {
      count = std::min(count, kMaxElements + 1) * std::clamp<std::int64_t>(type.length, 1, 1 << 20);
    }
  }
  return count;
}

/// Small enough to evaluate: elements of every value, and what each operation does with them.
bool is_small(const pyane::mil::VerifiedFunction& function) {
  std::vector<double> counts;
  double total = 0;
  for (const pyane::mil::VerifiedValue& value : function.values) {
    const std::int64_t count = count_of(value.type);
    counts.push_back(static_cast<double>(count));
    total += static_cast<double>(count);
  }
  if (total > static_cast<double>(kMaxElements)) return false;
  return is_little_work(function.operations, counts);
}

/// Random numbers without a seed are others in every evaluation.
bool is_random(const std::vector<pyane::mil::VerifiedOperation>& operations) {
  for (const pyane::mil::VerifiedOperation& operation : operations) {
    const auto* kernel = pyane::emulator::find_kernel(operation.record->name);
    if (kernel != nullptr && kernel->is_random) return true;
    for (const pyane::mil::VerifiedBlock& block : operation.blocks) {
      if (is_random(block.operations)) return true;
    }
  }
  return false;
}

/// Values that tell operations apart: signs, fractions, a zero, nothing that overflows at once.
Buffers make_inputs(const Plan& plan) {
  Buffers inputs;
  std::uint32_t state = 1;
  for (const pyane::TensorSpec& spec : plan.inputs) {
    std::vector<std::byte>& buffer = inputs.emplace_back(spec.n_bytes);
    for (std::size_t i = 0; i < buffer.size(); ++i) {
      state = state * 1664525U + 1013904223U;
      buffer[i] = static_cast<std::byte>(state >> 24U);
      // fp16 in [2^-7, 2): no overflow in the first operation.
      if (spec.dtype == pyane::DType::kFp16 && i % 2 == 1) {
        buffer[i] = (buffer[i] & std::byte{0x83}) | std::byte{0x38};
      }
      if (spec.dtype == pyane::DType::kFp32 && i % 4 == 3) {
        buffer[i] = (buffer[i] & std::byte{0x80}) | std::byte{0x3E};  // [2^-3, 2^-1)
      }
      if (spec.dtype == pyane::DType::kBool) buffer[i] &= std::byte{1};
    }
  }
  return inputs;
}

/// Results and, after them, what the states hold then.
Buffers evaluate(std::shared_ptr<const Plan> plan, Buffers inputs) {
  Buffers outputs;
  Buffers memory;
  std::vector<std::byte*> from;
  std::vector<std::byte*> to;
  std::vector<std::byte*> states;
  for (auto& input : inputs) from.push_back(input.data());
  for (const pyane::TensorSpec& spec : plan->outputs) outputs.emplace_back(spec.n_bytes);
  for (auto& output : outputs) to.push_back(output.data());
  for (const pyane::TensorSpec& spec : plan->states) memory.emplace_back(spec.n_bytes);
  for (auto& state : memory) states.push_back(state.data());
  // Just as large as the plan says: the sanitizer sees what lies outside.
  const std::size_t n_bytes = plan->arena_bytes;
  ArenaPool pool;
  const ArenaPool::Lease arena(pool, n_bytes);
  Execution(std::move(plan), from, to, states).run(arena.data());
  outputs.insert(outputs.end(), memory.begin(), memory.end());
  return outputs;
}

template <typename Bits>
bool is_same(const std::vector<std::byte>& a, const std::vector<std::byte>& b, Bits infinity) {
  for (std::size_t i = 0; i + sizeof(Bits) <= a.size(); i += sizeof(Bits)) {
    Bits x;
    Bits y;
    std::memcpy(&x, a.data() + i, sizeof(Bits));
    std::memcpy(&y, b.data() + i, sizeof(Bits));
    const Bits magnitude = static_cast<Bits>(~Bits{0}) >> 1U;
    const bool are_nan = (x & magnitude) > infinity && (y & magnitude) > infinity;
    if (x != y && !are_nan) return false;
  }
  return true;
}

/// The same bits, but that a NaN is as good as any other: x86 keeps that of the first operand, and
/// which one comes first is the compiler's affair.
bool are_same(const Plan& plan, const Buffers& a, const Buffers& b) {
  std::vector<pyane::TensorSpec> specs = plan.outputs;
  specs.insert(specs.end(), plan.states.begin(), plan.states.end());
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (specs[i].dtype == pyane::DType::kFp16) {
      if (!is_same<std::uint16_t>(a[i], b[i], 0x7C00U)) return false;
    } else if (specs[i].dtype == pyane::DType::kFp32) {
      if (!is_same<std::uint32_t>(a[i], b[i], 0x7F800000U)) return false;
    } else if (a[i] != b[i]) {
      return false;
    }
  }
  return true;
}

/// The instruction sets have paths of their own, and a mutation takes any of them.
void choose_isa(const std::uint8_t* data, std::size_t size) {
  static const std::vector<pyane::Isa> all = pyane::available_isas();
  std::size_t sum = 0;
  for (std::size_t i = 0; i < size; ++i) sum += data[i];
  pyane::set_isa(pyane::isa_name(all[sum % all.size()]));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  choose_isa(data, size);
  const pyane::fuzz::ModelInput input = pyane::fuzz::split_model(data, size);
  try {
    const pyane::mil::Program program = pyane::mil::parse(input.text, "fuzz.mil");
    const pyane::mil::WeightFiles files = pyane::fuzz::weight_files(program, input.weights);
    for (const pyane::mil::Function& function : program.functions) {
      const auto verified =
          pyane::mil::verify(program, function, &files, pyane::emulator::evaluate_constant);
      const auto fast =
          std::make_shared<const Plan>(pyane::emulator::plan(verified, {.optimizes = true}));
      if (!is_small(verified)) continue;
      const auto plain =
          std::make_shared<const Plan>(pyane::emulator::plan(verified, {.optimizes = false}));
      const Buffers inputs = make_inputs(*fast);
      pyane::set_num_threads(3);
      const Buffers shared = evaluate(fast, inputs);
      pyane::set_num_threads(1);
      const bool is_equal = are_same(*fast, shared, evaluate(plain, inputs));
      if (!is_equal && !is_random(verified.operations)) std::abort();
    }
  } catch (const pyane::Error&) {
  }
  return 0;
}
