#pragma once

#include <cstdint>

// What tests may ask of, and do to, the stand-in for AppleNeuralEngine.framework (through ctypes).
// A fault count of n means: the n-th such call from now fails, then calls succeed again; 0: none.

#define FAKE_ANE_API __attribute__((visibility("default")))

enum FakeAneAttributes : std::int32_t {
  kFakeAneAttributesFull = 0,      // ANEFModelDescription and NetworkStatusList
  kFakeAneAttributesAbsent = 1,    // nil
  kFakeAneAttributesReversed = 2,  // the engine's order is not the alphabetical one
  kFakeAneAttributesLive = 3,      // NetworkStatusList only
  kFakeAneAttributesStrange = 4,   // other classes than expected at every level
};

extern "C" {
FAKE_ANE_API void fake_ane_reset(void);  // no faults, counters at zero, nothing cached, defaults

FAKE_ANE_API std::int64_t fake_ane_live_objects(void);     // objects of the private classes
FAKE_ANE_API std::int64_t fake_ane_loaded_programs(void);  // loaded and not unloaded
FAKE_ANE_API std::int64_t fake_ane_compiles(void);
FAKE_ANE_API std::int64_t fake_ane_loads(void);
FAKE_ANE_API std::int64_t fake_ane_evaluations(void);     // that succeeded
FAKE_ANE_API std::int64_t fake_ane_evaluate_calls(void);  // begun
FAKE_ANE_API std::int64_t fake_ane_overlaps(void);        // evaluates of a request that was running
FAKE_ANE_API std::int64_t fake_ane_last_qos(void);

FAKE_ANE_API void fake_ane_set_compile_limit(std::int64_t n);  // FAKE_ANE_COMPILE_LIMIT, else 119
FAKE_ANE_API void fake_ane_set_load_limit(std::int64_t n);     // FAKE_ANE_LOAD_LIMIT, else 128
FAKE_ANE_API void fake_ane_fail_descriptor(std::int64_t n);
FAKE_ANE_API void fake_ane_fail_compile(std::int64_t n);
FAKE_ANE_API void fake_ane_fail_load(std::int64_t n);
FAKE_ANE_API void fake_ane_fail_request(std::int64_t n);
FAKE_ANE_API void fake_ane_fail_evaluate(std::int64_t n);
FAKE_ANE_API void fake_ane_fail_unload(std::int64_t n);
FAKE_ANE_API void fake_ane_raise_in_evaluate(std::int64_t n);       // an NSException instead of NO
FAKE_ANE_API void fake_ane_fail_without_error(std::int32_t is_on);  // failures set no NSError
FAKE_ANE_API void fake_ane_set_delay_ms(std::int64_t compile, std::int64_t evaluate);
FAKE_ANE_API void fake_ane_set_attributes(std::int32_t kind);  // FakeAneAttributes
FAKE_ANE_API void fake_ane_set_machine(std::int32_t has_ane, std::int32_t is_virtual_machine);
FAKE_ANE_API void fake_ane_forget_compiled(void);          // as after another macOS was installed
FAKE_ANE_API const char* fake_ane_temporary_folder(void);  // NSTemporaryDirectory()
}
