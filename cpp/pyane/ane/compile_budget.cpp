#include "pyane/ane/compile_budget.h"

#include "pyane/base/environment.h"
#include "pyane/base/error.h"

namespace pyane::ane {

CompileBudget& CompileBudget::process() {
  static CompileBudget budget(
      positive_from_environment("PYANE_ANE_COMPILE_LIMIT").value_or(kCompileLimit),
      positive_from_environment("PYANE_ANE_LOAD_LIMIT").value_or(kLoadLimit));
  return budget;
}

void CompileBudget::count_compile(const std::string& name) {
  const std::lock_guard guard(mutex_);
  if (compiles_ >= compile_limit_) {
    throw CompileBudgetError(
        "ANE compile of '" + name + "': this process has compiled " + std::to_string(compiles_) +
        " programs, and the engine's framework starts to fail at about " +
        std::to_string(compile_limit_) +
        ". Pass weights as inputs so that one program serves them all, or go on in a new process "
        "(PYANE_ANE_COMPILE_LIMIT changes the limit)");
  }
  ++compiles_;
}

LoadSlot CompileBudget::take_load_slot(const std::string& name) {
  const std::lock_guard guard(mutex_);
  if (loaded_ >= load_limit_) {
    throw CompileBudgetError("ANE load of '" + name + "': " + std::to_string(loaded_) +
                             " programs are loaded, and the engine holds " +
                             std::to_string(load_limit_) +
                             ". Unload kernels that are no longer used (Kernel.unload(), or `with "
                             "kernel:`; PYANE_ANE_LOAD_LIMIT changes the limit)");
  }
  ++loaded_;
  return LoadSlot(this);
}

void CompileBudget::give_back() {
  const std::lock_guard guard(mutex_);
  --loaded_;
}

Budget CompileBudget::state() const {
  const std::lock_guard guard(mutex_);
  return {.compiles = compiles_,
          .compile_limit = compile_limit_,
          .loaded = loaded_,
          .load_limit = load_limit_};
}

Budget budget() { return CompileBudget::process().state(); }

}  // namespace pyane::ane
