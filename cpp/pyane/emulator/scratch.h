#pragma once

#include <cstddef>

namespace pyane::emulator {

/// At least `n_bytes` of memory that belongs to the calling thread, 64-byte aligned, contents
/// undefined. The next call on the same thread may give the same memory, so one kernel at a time:
/// take it once, inside the body of a parallel_for, and divide it. Grows on a thread's first use
/// of a size, stays after that.
///
/// @throws std::bad_alloc
std::byte* thread_scratch(std::size_t n_bytes);

}  // namespace pyane::emulator
