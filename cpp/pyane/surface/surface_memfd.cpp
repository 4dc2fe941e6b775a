#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <string>
#include <system_error>
#include <utility>

#include "pyane/base/error.h"
#include "pyane/surface/surface.h"

// Linux: an anonymous file in memory, mapped shared, so that its descriptor can be sent to another
// process.

namespace pyane {
namespace {

std::string reason(int code) { return std::generic_category().message(code); }

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

/// Owns a descriptor until it is handed on.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

Descriptor new_file(std::size_t n_bytes, const std::string& where) {
  Descriptor fd(memfd_create("pyane-surface", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (fd.get() < 0) throw Error(where + ": memfd_create failed: " + reason(errno));
  if (ftruncate(fd.get(), static_cast<off_t>(n_bytes)) != 0) {
    throw Error(where + ": cannot be allocated: " + reason(errno));
  }
  // Another process that holds the descriptor must not shrink the file below our mapping: reading
  // past its end would kill this process.
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    throw Error(where + ": cannot be sealed: " + reason(errno));
  }
  return fd;
}

// Files that took the place of others after a fork. Requests know memory by its key since they were
// bound, so the new file goes by the old one's. Written by children that have just been forked,
// read by all; never freed.
struct Successor {
  dev_t device;
  ino_t inode;
  std::uint64_t key;
  const Successor* next;
};
std::atomic<const Successor*> successors{nullptr};

std::uint64_t key_of(const struct stat& status) {
  for (const Successor* s = successors.load(); s != nullptr; s = s->next) {
    if (s->inode == status.st_ino && s->device == status.st_dev) return s->key;
  }
  return (static_cast<std::uint64_t>(status.st_dev) << 48) ^
         static_cast<std::uint64_t>(status.st_ino);
}

class MemfdSurface final : public Surface {
 public:
  MemfdSurface(int fd, std::byte* data, std::size_t n_bytes, const struct stat& status)
      : fd_(fd),
        data_(data),
        n_bytes_(n_bytes),
        device_(status.st_dev),
        inode_(status.st_ino),
        key_(key_of(status)) {}
  ~MemfdSurface() override {
    munmap(data_, n_bytes_);
    close(fd_);
  }

  std::byte* data() const override { return data_; }
  std::size_t n_bytes() const override { return n_bytes_; }

  void lock(LockMode mode) override { ++count(mode); }
  void unlock(LockMode mode) override {
    std::atomic<int>& held = count(mode);
    int now = held.load();
    do {
      if (now == 0) {
        throw Error(std::string("surface: unlock must follow a lock of the same mode, but no ") +
                    (mode == LockMode::kReadOnly ? "read-only" : "read-write") + " lock is held");
      }
    } while (!held.compare_exchange_weak(now, now - 1));
  }
  int lock_count() const override { return read_only_locks_ + read_write_locks_; }

  std::int64_t native_id() const override { return fd_; }
  void* native_handle() const override { return nullptr; }
  bool shares_memory_with(const Surface& other) const override {
    // Every mapping starts at the file's first byte, so two of one file always overlap.
    const auto* same_kind = dynamic_cast<const MemfdSurface*>(&other);
    return same_kind != nullptr && same_kind->inode_ == inode_ && same_kind->device_ == device_;
  }
  std::uint64_t memory_key() const override { return key_; }

  void unshare() override {
    const std::string where = "surface of " + std::to_string(n_bytes_) + " bytes after a fork";
    const Descriptor fd = new_file(n_bytes_, where);
    for (std::size_t done = 0; done < n_bytes_;) {
      const ssize_t n = write(fd.get(), data_ + done, n_bytes_ - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) throw Error(where + ": cannot be copied: " + reason(errno));
      done += static_cast<std::size_t>(n);
    }
    struct stat status{};
    if (fstat(fd.get(), &status) != 0) throw Error(where + ": " + reason(errno));
    // The descriptor keeps its number, the memory its address.
    const bool is_mapped = mmap(data_, n_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                                fd.get(), 0) != MAP_FAILED;
    if (!is_mapped || dup3(fd.get(), fd_, O_CLOEXEC) < 0) {
      throw Error(where + ": cannot be mapped: " + reason(errno));
    }
    device_ = status.st_dev;
    inode_ = status.st_ino;
    successors.store(new Successor{device_, inode_, key_, successors.load()});
  }

 private:
  std::atomic<int>& count(LockMode mode) {
    return mode == LockMode::kReadOnly ? read_only_locks_ : read_write_locks_;
  }

  int fd_;
  std::byte* data_;
  std::size_t n_bytes_;
  dev_t device_;
  ino_t inode_;
  const std::uint64_t key_;
  std::atomic<int> read_only_locks_{0};
  std::atomic<int> read_write_locks_{0};
};

std::shared_ptr<Surface> map(Descriptor fd, std::size_t n_bytes, const std::string& where) {
  void* data = mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) {
    throw Error(where + ": cannot map " + std::to_string(n_bytes) + " bytes: " + reason(errno));
  }
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) {
    const int code = errno;
    munmap(data, n_bytes);
    throw Error(where + ": " + reason(code));
  }
  auto surface =
      std::make_shared<MemfdSurface>(fd.get(), static_cast<std::byte*>(data), n_bytes, status);
  fd.release();
  return surface;
}

}  // namespace

const char* surface_kind() { return "memfd"; }

std::shared_ptr<Surface> create_surface(std::size_t n_bytes) {
  const std::string where = "surface of " + std::to_string(n_bytes) + " bytes";
  if (n_bytes > static_cast<std::size_t>(std::numeric_limits<off_t>::max()) - page_bytes()) {
    throw Error(where + ": more than a file can hold");
  }
  const std::size_t page = page_bytes();
  const std::size_t size = (std::max(n_bytes, kMinSurfaceBytes) + page - 1) / page * page;
  return map(new_file(size, where), size, where);
}

std::shared_ptr<Surface> open_surface(std::int64_t native_id) {
  const std::string where = "surface from descriptor " + std::to_string(native_id);
  if (native_id < 0 || native_id > std::numeric_limits<int>::max()) {
    throw Error(where + ": not a file descriptor");
  }
  Descriptor fd(fcntl(static_cast<int>(native_id), F_DUPFD_CLOEXEC, 0));
  if (fd.get() < 0) throw Error(where + ": " + reason(errno));
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) throw Error(where + ": " + reason(errno));
  if (!S_ISREG(status.st_mode)) {
    throw Error(where + ": must be a memory file (memfd), got something else");
  }
  // Without this seal the other side could shrink the file, and touching it would kill us.
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    throw Error(where + ": must be a memfd sealed against shrinking (F_SEAL_SHRINK), as " +
                "pyane.Surface makes them");
  }
  const auto n_bytes = static_cast<std::size_t>(status.st_size);
  if (n_bytes < page_bytes()) {
    throw Error(where + ": must hold at least one page, " + std::to_string(page_bytes()) +
                " bytes, got " + std::to_string(n_bytes));
  }
  return map(std::move(fd), n_bytes, where);
}

std::shared_ptr<Surface> wrap_surface(void*) {
  throw Error("surface from a handle: IOSurfaces exist on macOS only; open a file descriptor here");
}

}  // namespace pyane
