#include "pyane/emulator/kernels/fused.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "pyane/base/thread_pool.h"
#include "pyane/emulator/kernels/fused_machine.h"
#include "pyane/emulator/kernels/fused_program.h"
#include "pyane/emulator/kernels/half_table.h"

namespace pyane::emulator {
namespace {

/// Less than this is not worth the cost of chunks.
constexpr std::chrono::nanoseconds kWorthSharing = std::chrono::microseconds(8);

/// The whole chain: its operations, and one load and one store.
std::chrono::nanoseconds time_on_one_thread(const FusedChain& chain) {
  std::int64_t per_16 = 2;
  for (const FusedOperation& operation : chain.operations) {
    if (operation.reduction != ChainReduction::kNone) {
      ++per_16;
    } else {
      per_16 += chain.looks_up(operation) ? kNanosecondsLookedUp
                                          : nanoseconds_computed(operation.node.op);
    }
  }
  return std::chrono::nanoseconds(chain.output_layouts.front().count() * per_16 / 16);
}

std::vector<TensorLayout> layouts(const FusedChain& chain) {
  std::vector<TensorLayout> all = chain.inputs;
  all.insert(all.end(), chain.output_layouts.begin(), chain.output_layouts.end());
  return all;
}

class Fused final : public Step {
 public:
  explicit Fused(const FusedChain& chain)
      : tiling_(layouts(chain), chain.axis),
        program_(compile_chain(chain, tiling_)),
        work_(time_on_one_thread(chain)) {}

  void run(const StepArguments& arguments) const override {
    const std::int64_t per_chunk =
        work_ < kWorthSharing ? tiling_.n_blocks() : tiling_.blocks_per_chunk();
    const auto body = [&](std::size_t chunk) {
      const std::int64_t begin = static_cast<std::int64_t>(chunk) * per_chunk;
      const std::int64_t end = std::min(begin + per_chunk, tiling_.n_blocks());
      FusedMachine machine(program_, tiling_, arguments);
      for (std::int64_t block = begin; block < end; ++block) machine.run(tiling_.block(block));
    };
    if (tiling_.n_blocks() == 0) return;
    const std::int64_t n_chunks = (tiling_.n_blocks() + per_chunk - 1) / per_chunk;
    if (n_chunks == 1) return body(0);
    parallel_for(static_cast<std::size_t>(n_chunks), work_, body);
  }

 private:
  Tiling tiling_;
  FusedProgram program_;
  std::chrono::nanoseconds work_;
};

}  // namespace

bool FusedChain::looks_up(const FusedOperation& operation) const {
  const auto dtype_of = [this](std::size_t value) {
    return value < inputs.size() ? inputs[value].dtype : operations[value - inputs.size()].dtype;
  };
  return may_tabulate && operation.reduction == ChainReduction::kNone && !operation.is_reduced &&
         operation.operands.size() == 1 && operation.dtype == DType::kFp16 &&
         dtype_of(operation.operands[0]) == DType::kFp16 &&
         is_worth_table(operation.node.op, output_layouts.front().count());
}

std::unique_ptr<Step> make_fused(FusedChain chain) { return std::make_unique<Fused>(chain); }

}  // namespace pyane::emulator
