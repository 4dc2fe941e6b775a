#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace pyane {

/// Smallest allocation the engine accepts for a request's surface: 768 x 16 x 4 bytes.
/// docs/ane.md (Orion constraint 4, M4 Max, macOS 26).
inline constexpr std::size_t kMinSurfaceBytes = 49152;

enum class LockMode : std::uint8_t { kReadOnly, kReadWrite };

/// Memory shared with the device, and with other processes: an IOSurface on macOS, a memfd mapping
/// elsewhere. Bytes only; shapes belong to whoever binds it. Page-aligned, zero-filled when new.
///
/// The address is stable for the surface's life. Locks nest and are counted; on Linux they only
/// count (memory is coherent), on macOS they are IOSurfaceLock / IOSurfaceUnlock, so code that
/// forgets one is found by tests here. lock/unlock are thread-safe.
class Surface {
 public:
  virtual ~Surface() = default;
  Surface(const Surface&) = delete;
  Surface& operator=(const Surface&) = delete;

  virtual std::byte* data() const = 0;
  /// Allocated bytes, at least what was asked for and at least kMinSurfaceBytes.
  virtual std::size_t n_bytes() const = 0;
  virtual void lock(LockMode mode) = 0;
  virtual void unlock(LockMode mode) = 0;
  /// Locks held now.
  virtual int lock_count() const = 0;
  /// Linux: the memfd (owned by the surface; dup it to keep it). macOS: IOSurfaceGetID.
  virtual std::int64_t native_id() const = 0;
  /// macOS: the IOSurfaceRef; elsewhere nullptr.
  virtual void* native_handle() const = 0;
  /// Whether writing one changes the other: the same memory, though perhaps at two addresses, as
  /// when a surface has been opened again from its native_id.
  virtual bool shares_memory_with(const Surface& other) const {
    return data() < other.data() + other.n_bytes() && other.data() < data() + n_bytes();
  }

  /// One number for all surfaces that share memory, the same for as long as a surface lives. Two
  /// that do not may have the same by accident: for those who then only do too little at once.
  virtual std::uint64_t memory_key() const = 0;

  /// In a child after fork(): gives this process memory of its own at the same address, with what
  /// is there now, so that the parent no longer sees what the child writes. Linux only; a forked
  /// process cannot use IOSurfaces anyway. Nobody else may use the surface meanwhile.
  /// @throws Error  when the system has no memory or descriptors left; it is then still shared.
  virtual void unshare() = 0;

 protected:
  Surface() = default;
};

/// "iosurface" or "memfd": what surfaces are in this build.
const char* surface_kind();

/// A new surface of at least `n_bytes`.
/// @throws Error  when the system has no memory or descriptors left, naming the size asked for.
std::shared_ptr<Surface> create_surface(std::size_t n_bytes);

/// The surface behind a file descriptor (Linux; duplicated) or IOSurface id (macOS) from another
/// process or library.
/// @throws Error  when it is no such thing, or smaller than one page.
std::shared_ptr<Surface> open_surface(std::int64_t native_id);

/// The surface behind an IOSurfaceRef that the caller made, for Metal or CoreVideo say; retained.
/// @throws Error  when it is no IOSurface, smaller than one page, or this is not macOS.
std::shared_ptr<Surface> wrap_surface(void* native_handle);

/// RAII lock.
class SurfaceLock {
 public:
  SurfaceLock(Surface& surface, LockMode mode) : surface_(surface), mode_(mode) {
    surface_.lock(mode_);
  }
  ~SurfaceLock() { surface_.unlock(mode_); }
  SurfaceLock(const SurfaceLock&) = delete;
  SurfaceLock& operator=(const SurfaceLock&) = delete;

 private:
  Surface& surface_;
  LockMode mode_;
};

}  // namespace pyane
