#include "fake_state.h"

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include "evaluator.h"

namespace fake_ane {
namespace {

// The limits of the documentation unless a test run, which compiles more than a program would, says
// otherwise.
std::int64_t limit(const char* variable, std::int64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoll(text, nullptr, 10);
}

void set_default_limits(State& state) {
  state.compile_limit = limit("FAKE_ANE_COMPILE_LIMIT", 119);
  state.load_limit = limit("FAKE_ANE_LOAD_LIMIT", 128);
}

}  // namespace

State& state() {
  // Never destroyed: objects may be released while the process exits.
  static State* const only = [] {
    auto* made = new State;
    set_default_limits(*made);
    return made;
  }();
  return *only;
}

void delay(std::int64_t milliseconds) {
  if (milliseconds > 0) std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

}  // namespace fake_ane

using fake_ane::state;

void fake_ane_reset(void) {
  auto& s = state();
  for (auto* fault : {&s.descriptor_fault, &s.compile_fault, &s.load_fault, &s.request_fault,
                      &s.evaluate_fault, &s.unload_fault, &s.evaluate_exception}) {
    fault->set(0);
  }
  s.compiles = 0;
  s.loads = 0;
  s.evaluations = 0;
  s.evaluate_calls = 0;
  s.overlaps = 0;
  s.last_qos = -1;
  fake_ane::set_default_limits(s);
  s.hides_errors = false;
  fake_ane_set_delay_ms(0, 0);
  s.attributes = kFakeAneAttributesFull;
  fake_ane_set_machine(1, 0);
  fake_ane_forget_compiled();
}

std::int64_t fake_ane_live_objects(void) { return state().live_objects; }
std::int64_t fake_ane_loaded_programs(void) { return state().loaded_programs; }
std::int64_t fake_ane_compiles(void) { return state().compiles; }
std::int64_t fake_ane_loads(void) { return state().loads; }
std::int64_t fake_ane_evaluations(void) { return state().evaluations; }
std::int64_t fake_ane_evaluate_calls(void) { return state().evaluate_calls; }
std::int64_t fake_ane_overlaps(void) { return state().overlaps; }
std::int64_t fake_ane_last_qos(void) { return state().last_qos; }

void fake_ane_set_compile_limit(std::int64_t n) { state().compile_limit = n; }
void fake_ane_set_load_limit(std::int64_t n) { state().load_limit = n; }
void fake_ane_fail_descriptor(std::int64_t n) { state().descriptor_fault.set(n); }
void fake_ane_fail_compile(std::int64_t n) { state().compile_fault.set(n); }
void fake_ane_fail_load(std::int64_t n) { state().load_fault.set(n); }
void fake_ane_fail_request(std::int64_t n) { state().request_fault.set(n); }
void fake_ane_fail_evaluate(std::int64_t n) { state().evaluate_fault.set(n); }
void fake_ane_fail_unload(std::int64_t n) { state().unload_fault.set(n); }
void fake_ane_raise_in_evaluate(std::int64_t n) { state().evaluate_exception.set(n); }
void fake_ane_fail_without_error(std::int32_t is_on) { state().hides_errors = is_on != 0; }
void fake_ane_set_delay_ms(std::int64_t compile, std::int64_t evaluate) {
  state().compile_delay_ms = compile;
  state().evaluate_delay_ms = evaluate;
}
void fake_ane_set_attributes(std::int32_t kind) { state().attributes = kind; }
void fake_ane_set_machine(std::int32_t has_ane, std::int32_t is_virtual_machine) {
  state().has_ane = has_ane != 0;
  state().is_virtual_machine = is_virtual_machine != 0;
}
void fake_ane_forget_compiled(void) { fake_ane::forget_compiled(); }
