#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"
#include "pyane/ane/compile_budget.h"
#include "pyane/base/error.h"

namespace {

using pyane::CompileBudgetError;
using pyane::ane::CompileBudget;
using pyane::ane::LoadSlot;

void test_compiles() {
  CompileBudget budget(2, 8);
  budget.count_compile("a");
  budget.count_compile("b");
  CHECK_THROWS(CompileBudgetError, budget.count_compile("c"));
  CHECK(budget.state().compiles == 2);
}

void test_load_slots() {
  CompileBudget budget(8, 2);
  std::optional<LoadSlot> first = budget.take_load_slot("a");
  LoadSlot second = budget.take_load_slot("b");
  CHECK_THROWS(CompileBudgetError, static_cast<void>(budget.take_load_slot("c")));
  first.reset();
  LoadSlot third = budget.take_load_slot("c");
  CHECK(budget.state().loaded == 2);
  third = std::move(second);  // gives back the one it held
  CHECK(budget.state().loaded == 1);
  third.forfeit();
  third = {};
  CHECK(budget.state().loaded == 1);
}

void test_threads() {
  CompileBudget budget(400, 8);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&budget] {
      for (int i = 0; i < 50; ++i) {
        budget.count_compile("x");
        const LoadSlot slot = budget.take_load_slot("x");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(budget.state().compiles == 400);
  CHECK(budget.state().loaded == 0);
}

void test_environment() {
  setenv("PYANE_ANE_COMPILE_LIMIT", "twelve", 1);
  CHECK_THROWS(pyane::Error, static_cast<void>(CompileBudget::process()));
  setenv("PYANE_ANE_COMPILE_LIMIT", "12", 1);
  CHECK(CompileBudget::process().state().compile_limit == 12);
  CHECK(CompileBudget::process().state().load_limit == CompileBudget::kLoadLimit);
}

}  // namespace

int main() {
  test_compiles();
  test_load_slots();
  test_threads();
  test_environment();
  return 0;
}
