#pragma once

#include <cstdint>

// What tests may ask of, and do to, the IOSurface stand-in (through ctypes). A fault count of n
// means: the n-th call from now fails, then calls succeed again; 0: none.

#define FAKE_ANE_API __attribute__((visibility("default")))

extern "C" {
FAKE_ANE_API std::int64_t fake_iosurface_live(void);         // surfaces not yet released
FAKE_ANE_API std::int64_t fake_iosurface_locks(void);        // locks held on all surfaces
FAKE_ANE_API std::int64_t fake_iosurface_total_locks(void);  // locks ever taken
FAKE_ANE_API void fake_iosurface_fail_create(std::int64_t n);
FAKE_ANE_API void fake_iosurface_fail_lock(std::int64_t n);
}
