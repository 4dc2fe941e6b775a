#include "pyane/emulator/scratch.h"

#include <algorithm>
#include <memory>
#include <new>

namespace pyane::emulator {
namespace {

constexpr std::align_val_t kAlignment{64};
/// Enough for most kernels, so that a thread allocates once.
constexpr std::size_t kInitialBytes = std::size_t{256} * 1024;

struct Free {
  void operator()(std::byte* memory) const { ::operator delete(memory, kAlignment); }
};

struct Scratch {
  std::unique_ptr<std::byte, Free> memory;
  std::size_t n_bytes = 0;
};

thread_local Scratch scratch;

}  // namespace

std::byte* thread_scratch(std::size_t n_bytes) {
  if (n_bytes > scratch.n_bytes) {
    const std::size_t size = std::max(n_bytes, kInitialBytes);
    scratch.memory.reset();
    scratch.n_bytes = 0;
    scratch.memory.reset(static_cast<std::byte*>(::operator new(size, kAlignment)));
    scratch.n_bytes = size;
  }
  return scratch.memory.get();
}

}  // namespace pyane::emulator
