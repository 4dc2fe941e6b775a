#include "pyane/ane/model_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "pyane/base/error.h"

namespace pyane::ane {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kModelPath = "@model_path/";
constexpr std::string_view kModelText = "model.mil";

[[noreturn]] void throw_errno(const std::string& what, const fs::path& path, int error) {
  throw Error("ANE model folder: cannot " + what + " " + path.string() + ": " +
              std::strerror(error));
}

class FileDescriptor {
 public:
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  FileDescriptor(FileDescriptor&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  ~FileDescriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

struct Entry {
  int n_users = 0;
  FileDescriptor lock;
};

std::mutex registry_mutex;

// Never destroyed: kernels may be released while the process exits.
std::map<fs::path, Entry>& registry() {
  static auto* folders = new std::map<fs::path, Entry>;
  return *folders;
}

fs::path lock_path(const fs::path& folder) {
  fs::path path = folder;
  path += ".pyane-lock";
  return path;
}

// A shared lock on a file beside the folder, held while this process uses the folder.
FileDescriptor lock_shared(const fs::path& folder) {
  const fs::path path = lock_path(folder);
  while (true) {
    FileDescriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (lock.get() < 0) throw_errno("open", path, errno);
    int status = 0;
    do {
      status = ::flock(lock.get(), LOCK_SH);
    } while (status != 0 && errno == EINTR);
    if (status != 0) throw_errno("lock", path, errno);
    struct stat info{};
    // Another process may have removed the file between our open and our lock.
    if (::fstat(lock.get(), &info) == 0 && info.st_nlink > 0) return lock;
  }
}

void make_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) throw_errno("create", path, errno);
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) throw_errno("inspect", path, errno);
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid()) {
    throw Error("ANE model folder: " + path.string() + " must be a folder of this user");
  }
}

// Through a temporary name, so that another process compiling the same model never reads half of
// it.
void write_file(const fs::path& path, std::span<const std::byte> bytes) {
  fs::path temporary = path;
  temporary += ".part-" + std::to_string(::getpid());
  {
    const FileDescriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file.get() < 0) throw_errno("create", temporary, errno);
    while (!bytes.empty()) {
      const ssize_t n = ::write(file.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        const int error = errno;
        ::unlink(temporary.c_str());
        throw_errno("write", path, error);
      }
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) throw_errno("rename to", path, errno);
}

void remove_unless_used(const fs::path& folder, const FileDescriptor& lock) noexcept {
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return;  // another process still uses it
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  ::unlink(lock_path(folder).c_str());
}

void write_model(const fs::path& folder,
                 const std::vector<std::pair<fs::path, std::span<const std::byte>>>& files) {
  make_folder(folder);
  for (const auto& [relative, bytes] : files) {
    fs::path parent = folder;
    for (const fs::path& part : relative.parent_path()) make_folder(parent /= part);
    write_file(folder / relative, bytes);
  }
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

}  // namespace

fs::path relative_weight_path(std::string_view path_in_text) {
  const auto fail = [&](const char* rule) {
    throw BlobError("weight path '" + std::string(path_in_text) + "' " + rule +
                    ", e.g. '@model_path/weights/weight.bin'");
  };
  if (!path_in_text.starts_with(kModelPath)) fail("must start with '@model_path/' for the engine");
  const std::string_view relative = path_in_text.substr(kModelPath.size());
  for (const char c : relative) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) fail("must hold no control characters");
  }
  std::size_t begin = 0;
  while (begin <= relative.size()) {
    const std::size_t end = std::min(relative.find('/', begin), relative.size());
    const std::string_view part = relative.substr(begin, end - begin);
    if (part.empty()) fail("must have no empty part and name a file");
    if (part == "." || part == "..") fail("must stay inside the model's folder ('.' or '..')");
    begin = end + 1;
  }
  // Compared as macOS's file system does.
  if (equal_ignoring_case(relative, kModelText)) fail("must not be the model's own text");
  return fs::path(relative);
}

ModelFolder::ModelFolder(const fs::path& parent, const std::string& identifier,
                         const mil::Model& model) {
  std::vector<std::pair<fs::path, std::span<const std::byte>>> files;
  files.emplace_back(kModelText, std::as_bytes(std::span(model.text)));
  for (const auto& [name, data] : model.weights) {
    files.emplace_back(relative_weight_path(name), data.bytes);
  }

  const fs::path folder = parent / identifier;
  const std::lock_guard guard(registry_mutex);
  const auto found = registry().find(folder);
  if (found != registry().end()) {
    ++found->second.n_users;  // same identifier, same files
  } else {
    FileDescriptor lock = lock_shared(folder);
    try {
      write_model(folder, files);
    } catch (...) {
      remove_unless_used(folder, lock);
      throw;
    }
    registry().emplace(folder, Entry{.n_users = 1, .lock = std::move(lock)});
  }
  path_ = folder;
}

ModelFolder::ModelFolder(ModelFolder&& other) noexcept : path_(std::move(other.path_)) {
  other.path_.clear();
}

ModelFolder& ModelFolder::operator=(ModelFolder&& other) noexcept {
  if (this != &other) {
    release();
    path_ = std::move(other.path_);
    other.path_.clear();
  }
  return *this;
}

ModelFolder::~ModelFolder() { release(); }

void ModelFolder::release() noexcept {
  if (path_.empty()) return;
  const std::lock_guard guard(registry_mutex);
  const auto found = registry().find(path_);
  if (--found->second.n_users == 0) {
    remove_unless_used(path_, found->second.lock);
    registry().erase(found);
  }
  path_.clear();
}

fs::path keep_failed_text(const fs::path& parent, const std::string& identifier,
                          std::string_view text) {
  // Named by the model, so that the same failure in a loop keeps one file.
  const fs::path path = parent / ("pyane-failed-" + identifier + ".mil");
  try {
    write_file(path, std::as_bytes(std::span(text)));
  } catch (const Error&) {
    return {};  // the compile error itself matters more than the copy of its text
  }
  return path;
}

}  // namespace pyane::ane
