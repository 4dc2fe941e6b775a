#include "pyane/emulator/constant_evaluator.h"

#include <utility>

#include "pyane/emulator/executor.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/planner.h"

namespace pyane::emulator {

std::vector<std::shared_ptr<const mil::Constant>> evaluate_constant(
    const mil::VerifiedFunction& so_far, const mil::VerifiedOperation& operation,
    const std::vector<mil::Type>& results) {
  const KernelRecord* kernel = find_kernel(operation.record->name);
  if (kernel == nullptr || kernel->is_random) return {};
  // A function of this one operation.
  mil::VerifiedFunction function{.function = so_far.function,
                                 .values = {},
                                 .parameters = {},
                                 .operations = {operation},
                                 .outputs = {},
                                 .source_name = so_far.source_name};
  mil::VerifiedOperation& only = function.operations.front();
  for (mil::VerifiedInput& input : only.inputs) {
    for (mil::ValueId& id : input.values) {
      const auto here = static_cast<mil::ValueId>(function.values.size());
      function.values.push_back(so_far.values[static_cast<std::size_t>(id)]);
      id = here;
    }
  }
  only.outputs.clear();
  for (const mil::Type& type : results) {
    only.outputs.push_back(static_cast<mil::ValueId>(function.values.size()));
    // Named so that outputs keep their order, which is that of their names.
    function.values.push_back({.name = std::to_string(1'000'000 + only.outputs.size()),
                               .type = type,
                               .constant = nullptr,
                               .producer = 0});
  }
  function.outputs = only.outputs;

  auto compiled = std::make_shared<const Plan>(plan(function, {.optimizes = false}));
  std::vector<std::shared_ptr<std::vector<std::byte>>> memory;
  std::vector<std::byte*> outputs;
  for (const TensorSpec& spec : compiled->outputs) {
    memory.push_back(std::make_shared<std::vector<std::byte>>(spec.n_bytes));
    outputs.push_back(memory.back()->data());
  }
  ArenaPool pool;
  pool.reserve(compiled->arena_bytes);
  const ArenaPool::Lease arena(pool, compiled->arena_bytes);
  Execution(compiled, {}, outputs).run(arena.data());

  std::vector<std::shared_ptr<const mil::Constant>> constants;
  for (std::size_t i = 0; i < results.size(); ++i) {
    mil::Constant constant{
        .type = results[i], .owner = memory[i], .data = *memory[i], .strings = {}};
    constants.push_back(std::make_shared<const mil::Constant>(std::move(constant)));
  }
  return constants;
}

}  // namespace pyane::emulator
