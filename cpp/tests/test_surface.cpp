#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "check.h"
#include "pyane/base/error.h"
#include "pyane/surface/surface.h"

using pyane::LockMode;

namespace {

void test_new_surface() {
  const auto surface = pyane::create_surface(100);
  CHECK(surface->n_bytes() >= pyane::kMinSurfaceBytes);
  CHECK(reinterpret_cast<std::uintptr_t>(surface->data()) % 4096 == 0);
  for (std::size_t i = 0; i < surface->n_bytes(); ++i) CHECK(surface->data()[i] == std::byte{0});
  CHECK(pyane::create_surface(0)->n_bytes() >= pyane::kMinSurfaceBytes);
  CHECK(pyane::create_surface(100001)->n_bytes() >= 100001);
  CHECK_THROWS(pyane::Error, pyane::create_surface(SIZE_MAX));
  CHECK_THROWS(pyane::Error, pyane::create_surface(SIZE_MAX / 4));
}

void test_locks() {
  const auto surface = pyane::create_surface(1);
  {
    const pyane::SurfaceLock outer(*surface, LockMode::kReadWrite);
    const pyane::SurfaceLock inner(*surface, LockMode::kReadOnly);
    CHECK(surface->lock_count() == 2);
  }
  CHECK(surface->lock_count() == 0);
  CHECK_THROWS(pyane::Error, surface->unlock(LockMode::kReadOnly));
  surface->lock(LockMode::kReadOnly);
  CHECK_THROWS(pyane::Error, surface->unlock(LockMode::kReadWrite));
  CHECK(surface->lock_count() == 1);
  surface->unlock(LockMode::kReadOnly);

  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) pyane::SurfaceLock(*surface, LockMode::kReadWrite);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(surface->lock_count() == 0);
}

void test_sharing() {
  auto first = pyane::create_surface(8192);
  const auto second = pyane::open_surface(first->native_id());
  CHECK(second->n_bytes() == first->n_bytes());
  CHECK(second->data() != first->data());
  CHECK(second->native_id() != first->native_id());
  CHECK(second->memory_key() == first->memory_key());
  CHECK(second->shares_memory_with(*first));
  const auto other = pyane::create_surface(8192);
  CHECK(other->memory_key() != first->memory_key());
  CHECK(!other->shares_memory_with(*first));
  std::memcpy(first->data(), "hello", 6);
  CHECK(std::memcmp(second->data(), "hello", 6) == 0);
  first.reset();  // The memory lives as long as anyone has it.
  CHECK(std::memcmp(second->data(), "hello", 6) == 0);

  const pid_t child = fork();
  if (child == 0) {
    std::memcpy(second->data(), "child", 6);
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(std::memcmp(second->data(), "child", 6) == 0);
}

/// A child's own memory: not the parent's, and known to requests by the key that it had.
void test_unshare() {
  const auto surface = pyane::create_surface(8192);
  const std::uint64_t key = surface->memory_key();
  std::memcpy(surface->data(), "both", 5);
  const pid_t child = fork();
  if (child == 0) {
    surface->unshare();
    const bool is_copied = std::memcmp(surface->data(), "both", 5) == 0;
    std::memcpy(surface->data(), "mine", 5);
    const auto again = pyane::open_surface(surface->native_id());
    const bool is_one =
        again->shares_memory_with(*surface) && std::memcmp(again->data(), "mine", 5) == 0;
    const bool has_keys = surface->memory_key() == key && again->memory_key() == key &&
                          pyane::create_surface(8192)->memory_key() != key;
    _exit((is_copied ? 0 : 1) + (is_one ? 0 : 2) + (has_keys ? 0 : 4));
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(std::memcmp(surface->data(), "both", 5) == 0);
}

void test_bad_descriptors() {
  CHECK_THROWS(pyane::Error, pyane::open_surface(-1));
  CHECK_THROWS(pyane::Error, pyane::open_surface(std::int64_t{1} << 40));
  CHECK_THROWS(pyane::Error, pyane::open_surface(1000000));
  int ends[2];
  CHECK(pipe(ends) == 0);
  CHECK_THROWS(pyane::Error, pyane::open_surface(ends[0]));
  close(ends[0]);
  close(ends[1]);
  // Too small, and one that could be shrunk under the mapping.
  const int small = memfd_create("small", MFD_ALLOW_SEALING);
  CHECK(fcntl(small, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
  CHECK_THROWS(pyane::Error, pyane::open_surface(small));
  close(small);
  const int unsealed = memfd_create("unsealed", 0);
  CHECK(ftruncate(unsealed, 65536) == 0);
  CHECK_THROWS(pyane::Error, pyane::open_surface(unsealed));
  close(unsealed);
}

}  // namespace

int main() {
  test_new_surface();
  test_locks();
  test_sharing();
  test_unshare();
  test_bad_descriptors();
  return 0;
}
