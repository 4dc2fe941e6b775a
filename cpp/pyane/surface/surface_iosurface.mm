#import <IOSurface/IOSurface.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <string>
#include <utility>

#include "pyane/base/error.h"
#include "pyane/base/objc_guard.h"
#include "pyane/surface/surface.h"

namespace pyane {
namespace {

constexpr std::size_t kSmallestPageBytes = 4096;

IOSurfaceLockOptions lock_options(LockMode mode) {
  return mode == LockMode::kReadOnly ? kIOSurfaceLockReadOnly : 0;
}

const char* mode_name(LockMode mode) {
  return mode == LockMode::kReadOnly ? "read-only" : "read-write";
}

class IoSurface final : public Surface {
 public:
  /// Takes over one reference to `surface`.
  explicit IoSurface(IOSurfaceRef surface) : surface_(surface) {}

  ~IoSurface() override {
    while (n_read_locks_-- > 0) IOSurfaceUnlock(surface_, kIOSurfaceLockReadOnly, nullptr);
    while (n_write_locks_-- > 0) IOSurfaceUnlock(surface_, 0, nullptr);
    CFRelease(surface_);
  }

  std::byte* data() const override {
    return static_cast<std::byte*>(IOSurfaceGetBaseAddress(surface_));
  }
  std::size_t n_bytes() const override { return IOSurfaceGetAllocSize(surface_); }

  void lock(LockMode mode) override {
    const kern_return_t status = IOSurfaceLock(surface_, lock_options(mode), nullptr);
    if (status != 0) throw Error(describe("IOSurfaceLock", mode, status));
    const std::lock_guard guard(mutex_);
    ++held(mode);
  }

  void unlock(LockMode mode) override {
    {
      const std::lock_guard guard(mutex_);
      if (held(mode) == 0) {
        throw Error(std::string("surface: unlock must follow a lock of the same mode, but no ") +
                    mode_name(mode) + " lock is held");
      }
      --held(mode);
    }
    const kern_return_t status = IOSurfaceUnlock(surface_, lock_options(mode), nullptr);
    // Still held as far as the system is concerned: keep saying so. Not thrown, because SurfaceLock
    // unlocks in its destructor and the caller could do nothing about it.
    if (status != 0) {
      const std::lock_guard guard(mutex_);
      ++held(mode);
    }
  }

  int lock_count() const override {
    const std::lock_guard guard(mutex_);
    return n_read_locks_ + n_write_locks_;
  }
  std::int64_t native_id() const override { return IOSurfaceGetID(surface_); }
  void* native_handle() const override { return surface_; }
  bool shares_memory_with(const Surface& other) const override {
    return native_id() == other.native_id();
  }
  std::uint64_t memory_key() const override { return static_cast<std::uint64_t>(native_id()); }
  void unshare() override {}

 private:
  int& held(LockMode mode) { return mode == LockMode::kReadOnly ? n_read_locks_ : n_write_locks_; }
  std::string describe(const char* call, LockMode mode, kern_return_t status) const {
    return "surface " + std::to_string(native_id()) + ": " + call + "(" + mode_name(mode) +
           ") failed with kern_return_t " + std::to_string(status);
  }

  IOSurfaceRef surface_;
  mutable std::mutex mutex_;
  int n_read_locks_ = 0;
  int n_write_locks_ = 0;
};

/// Takes over one reference.
std::shared_ptr<Surface> adopt(IOSurfaceRef surface, const std::string& what) {
  auto adopted = std::make_shared<IoSurface>(surface);
  if (adopted->n_bytes() < kSmallestPageBytes) {
    throw Error(what + ": must hold at least one page (" + std::to_string(kSmallestPageBytes) +
                " bytes), got " + std::to_string(adopted->n_bytes()));
  }
  if (adopted->data() == nullptr) throw Error(what + ": has no address in this process");
  return adopted;
}

}  // namespace

const char* surface_kind() { return "iosurface"; }

std::shared_ptr<Surface> create_surface(std::size_t n_bytes) {
  const std::size_t size = std::max(n_bytes, kMinSurfaceBytes);
  IOSurfaceRef created = nullptr;
  std::optional<ObjcFailure> failure;
  if (size <= static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max())) {
    failure = guarded([&]() -> std::optional<ObjcFailure> {
      // One row of bytes: shapes belong to whoever binds the surface.
      NSDictionary* properties = @{
        (NSString*)kIOSurfaceWidth : @(size),
        (NSString*)kIOSurfaceHeight : @1,
        (NSString*)kIOSurfaceBytesPerElement : @1,
        (NSString*)kIOSurfaceBytesPerRow : @(size),
        (NSString*)kIOSurfaceAllocSize : @(size),
        (NSString*)kIOSurfacePixelFormat : @0,
      };
      created = IOSurfaceCreate((CFDictionaryRef)properties);
      return std::nullopt;
    });
  }
  if (created == nullptr) {
    throw Error("surface of " + std::to_string(n_bytes) + " bytes: IOSurfaceCreate refused" +
                (failure ? failure->text() : std::string()));
  }
  return adopt(created, "a new surface");
}

std::shared_ptr<Surface> open_surface(std::int64_t native_id) {
  const bool is_id = native_id > 0 && native_id <= std::numeric_limits<IOSurfaceID>::max();
  IOSurfaceRef found = is_id ? IOSurfaceLookup(static_cast<IOSurfaceID>(native_id)) : nullptr;
  if (found == nullptr) {
    throw Error("surface from id " + std::to_string(native_id) +
                ": no IOSurface of that id can be seen from this process");
  }
  return adopt(found, "surface from id " + std::to_string(native_id));
}

std::shared_ptr<Surface> wrap_surface(void* native_handle) {
  if (native_handle == nullptr || CFGetTypeID(native_handle) != IOSurfaceGetTypeID()) {
    throw Error("surface from handle " +
                std::to_string(reinterpret_cast<std::uintptr_t>(native_handle)) +
                ": must be an IOSurfaceRef");
  }
  auto surface = static_cast<IOSurfaceRef>(native_handle);
  CFRetain(surface);
  return adopt(surface, "surface from a handle");
}

}  // namespace pyane
