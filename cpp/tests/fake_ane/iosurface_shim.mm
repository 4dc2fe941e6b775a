#include "iosurface_shim.h"

#import <IOSurface/IOSurface.h>
#include <sys/mman.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>

// IOSurface for the GNUstep build: anonymous shared memory with the framework's reference counting,
// look-up by id and lock rules. A surface is unmapped with its last reference, so that a use after
// release is a crash here rather than a puzzle on a Mac.

struct __IOSurface {
  void* base = nullptr;
  std::size_t n_bytes = 0;
  IOSurfaceID id = 0;
  long references = 1;
  std::int64_t read_locks = 0;
  std::int64_t write_locks = 0;
};

namespace {

constexpr std::size_t kPageBytes = 16384;  // Apple silicon; allocations are rounded up to it
constexpr CFTypeID kSurfaceTypeId = 269;
constexpr kern_return_t kSuccess = 0;
constexpr kern_return_t kBadArgument =
    static_cast<kern_return_t>(0xe00002c2);  // kIOReturnBadArgument
constexpr kern_return_t kCannotLock =
    static_cast<kern_return_t>(0xe00002cc);  // kIOReturnCannotLock

std::mutex registry_mutex;
std::atomic<std::int64_t> total_locks{0};
std::atomic<std::int64_t> create_fault{0};
std::atomic<std::int64_t> lock_fault{0};

// Never destroyed: surfaces may be released while the process exits.
std::map<IOSurfaceID, __IOSurface*>& registry() {
  static auto* surfaces = new std::map<IOSurfaceID, __IOSurface*>;
  return *surfaces;
}

bool is_surface(const void* object) {
  for (const auto& [id, surface] : registry()) {
    if (surface == object) return true;
  }
  return false;
}

bool fault_due(std::atomic<std::int64_t>& fault) {
  std::int64_t left = fault.load();
  while (left > 0 && !fault.compare_exchange_weak(left, left - 1)) {
  }
  return left == 1;
}

NSNumber* property(CFDictionaryRef properties, CFStringRef key) {
  return [(NSDictionary*)properties objectForKey:(NSString*)key];
}

}  // namespace

extern "C" {

FAKE_ANE_API const CFStringRef kIOSurfaceWidth = (CFStringRef)(NSString*)@"IOSurfaceWidth";
FAKE_ANE_API const CFStringRef kIOSurfaceHeight = (CFStringRef)(NSString*)@"IOSurfaceHeight";
FAKE_ANE_API const CFStringRef kIOSurfaceBytesPerElement =
    (CFStringRef)(NSString*)@"IOSurfaceBytesPerElement";
FAKE_ANE_API const CFStringRef kIOSurfaceBytesPerRow =
    (CFStringRef)(NSString*)@"IOSurfaceBytesPerRow";
FAKE_ANE_API const CFStringRef kIOSurfaceAllocSize = (CFStringRef)(NSString*)@"IOSurfaceAllocSize";
FAKE_ANE_API const CFStringRef kIOSurfacePixelFormat =
    (CFStringRef)(NSString*)@"IOSurfacePixelFormat";

FAKE_ANE_API IOSurfaceRef IOSurfaceCreate(CFDictionaryRef properties) {
  if (fault_due(create_fault)) return nullptr;
  const std::size_t width = [property(properties, kIOSurfaceWidth) unsignedLongLongValue];
  const std::size_t height = [property(properties, kIOSurfaceHeight) unsignedLongLongValue];
  const std::size_t element =
      [property(properties, kIOSurfaceBytesPerElement) unsignedLongLongValue];
  const std::size_t row = [property(properties, kIOSurfaceBytesPerRow) unsignedLongLongValue];
  const std::size_t n_bytes = [property(properties, kIOSurfaceAllocSize) unsignedLongLongValue];
  const bool is_consistent = width > 0 && height > 0 && element > 0 && row >= width * element &&
                             n_bytes >= row * height &&
                             property(properties, kIOSurfacePixelFormat) != nil;
  if (!is_consistent || n_bytes > PTRDIFF_MAX - kPageBytes) return nullptr;
  auto surface = std::make_unique<__IOSurface>();
  surface->n_bytes = (n_bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  surface->base =
      mmap(nullptr, surface->n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (surface->base == MAP_FAILED) return nullptr;
  const std::lock_guard guard(registry_mutex);
  static IOSurfaceID next_id = 0;
  surface->id = ++next_id;
  registry().emplace(surface->id, surface.get());
  return surface.release();
}

FAKE_ANE_API IOSurfaceRef IOSurfaceLookup(IOSurfaceID id) {
  const std::lock_guard guard(registry_mutex);
  const auto found = registry().find(id);
  if (found == registry().end()) return nullptr;
  ++found->second->references;
  return found->second;
}

FAKE_ANE_API CFTypeID IOSurfaceGetTypeID(void) { return kSurfaceTypeId; }

FAKE_ANE_API kern_return_t IOSurfaceLock(IOSurfaceRef surface, IOSurfaceLockOptions options,
                                         std::uint32_t*) {
  if (fault_due(lock_fault)) return kCannotLock;
  const std::lock_guard guard(registry_mutex);
  ((options & kIOSurfaceLockReadOnly) != 0 ? surface->read_locks : surface->write_locks) += 1;
  total_locks += 1;
  return kSuccess;
}

FAKE_ANE_API kern_return_t IOSurfaceUnlock(IOSurfaceRef surface, IOSurfaceLockOptions options,
                                           std::uint32_t*) {
  const std::lock_guard guard(registry_mutex);
  std::int64_t& held =
      (options & kIOSurfaceLockReadOnly) != 0 ? surface->read_locks : surface->write_locks;
  if (held == 0) return kBadArgument;  // never locked, or locked with other options
  held -= 1;
  return kSuccess;
}

FAKE_ANE_API void* IOSurfaceGetBaseAddress(IOSurfaceRef surface) { return surface->base; }
FAKE_ANE_API std::size_t IOSurfaceGetAllocSize(IOSurfaceRef surface) { return surface->n_bytes; }
FAKE_ANE_API IOSurfaceID IOSurfaceGetID(IOSurfaceRef surface) { return surface->id; }

FAKE_ANE_API CFTypeID CFGetTypeID(CFTypeRef object) {
  const std::lock_guard guard(registry_mutex);
  return is_surface(object) ? kSurfaceTypeId : 0;
}

FAKE_ANE_API CFTypeRef CFRetain(CFTypeRef object) {
  const std::lock_guard guard(registry_mutex);
  ++static_cast<__IOSurface*>(const_cast<void*>(object))->references;
  return object;
}

FAKE_ANE_API void CFRelease(CFTypeRef object) {
  auto* surface = static_cast<__IOSurface*>(const_cast<void*>(object));
  const std::lock_guard guard(registry_mutex);
  if (--surface->references > 0) return;
  registry().erase(surface->id);
  munmap(surface->base, surface->n_bytes);
  delete surface;
}

std::int64_t fake_iosurface_live(void) {
  const std::lock_guard guard(registry_mutex);
  return static_cast<std::int64_t>(registry().size());
}

std::int64_t fake_iosurface_locks(void) {
  const std::lock_guard guard(registry_mutex);
  std::int64_t held = 0;
  for (const auto& [id, surface] : registry()) held += surface->read_locks + surface->write_locks;
  return held;
}

std::int64_t fake_iosurface_total_locks(void) { return total_locks.load(); }
void fake_iosurface_fail_create(std::int64_t n) { create_fault = n; }
void fake_iosurface_fail_lock(std::int64_t n) { lock_fault = n; }

}  // extern "C"
