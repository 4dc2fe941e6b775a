#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "pyane/ane/ane_device.h"

namespace pyane::ane {

class LoadSlot;

/// Counts what this process has asked of the engine and refuses before the engine would: past its
/// limits it fails for every later program, with messages that do not say why. Thread-safe.
///
/// Sources: about 119 compilations per process (maderix/ANE, Orion, libane; M1 to M5); 128 loaded
/// programs per client (Midas, M5 Pro). docs/ane.md, constraint 35.
class CompileBudget {
 public:
  static constexpr std::int64_t kCompileLimit = 119;
  static constexpr std::int64_t kLoadLimit = 128;

  CompileBudget(std::int64_t compile_limit, std::int64_t load_limit)
      : compile_limit_(compile_limit), load_limit_(load_limit) {}

  /// The process's own, with limits from the environment.
  /// @throws Error  when a limit in the environment is no positive number.
  static CompileBudget& process();

  /// Counts one compilation of `name`; also one that will fail.
  /// @throws CompileBudgetError  when the limit is reached, before it is passed.
  void count_compile(const std::string& name);

  /// @throws CompileBudgetError  when as many programs are loaded as the engine holds.
  LoadSlot take_load_slot(const std::string& name);

  Budget state() const;

 private:
  friend class LoadSlot;
  void give_back();

  mutable std::mutex mutex_;
  std::int64_t compiles_ = 0;
  std::int64_t loaded_ = 0;
  std::int64_t compile_limit_;
  std::int64_t load_limit_;
};

/// One loaded program; given back on destruction. Must not outlive its budget.
class LoadSlot {
 public:
  LoadSlot() = default;
  explicit LoadSlot(CompileBudget* budget) : budget_(budget) {}
  LoadSlot(LoadSlot&& other) noexcept : budget_(other.budget_) { other.budget_ = nullptr; }
  LoadSlot& operator=(LoadSlot&& other) noexcept {
    if (this != &other) {
      release();
      budget_ = other.budget_;
      other.budget_ = nullptr;
    }
    return *this;
  }
  ~LoadSlot() { release(); }

  /// The engine would not unload: the slot stays taken for the life of the process.
  void forfeit() { budget_ = nullptr; }

 private:
  void release() {
    if (budget_ != nullptr) budget_->give_back();
    budget_ = nullptr;
  }
  CompileBudget* budget_ = nullptr;
};

}  // namespace pyane::ane
