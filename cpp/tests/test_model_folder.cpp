#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "pyane/ane/model_folder.h"
#include "pyane/base/error.h"

namespace {

namespace fs = std::filesystem;
using pyane::ane::ModelFolder;

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "pyane-test-XXXXXX").string();
    CHECK(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TemporaryFolder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }
  bool is_empty() const { return fs::is_empty(path_); }

 private:
  fs::path path_;
};

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

pyane::mil::Model model() {
  static const std::string weights = "0123456789";
  pyane::mil::Model result;
  result.text = "program(1.3) {}";
  const auto bytes = std::as_bytes(std::span(weights.data(), weights.size()));
  result.weights["@model_path/weights/deep/w.bin"] = {.owner = nullptr, .bytes = bytes};
  return result;
}

void test_paths() {
  using pyane::ane::relative_weight_path;
  CHECK(relative_weight_path("@model_path/weights/w.bin") == fs::path("weights/w.bin"));
  CHECK(relative_weight_path("@model_path/..w") == fs::path("..w"));
  for (const char* hostile :
       {"weights/w.bin", "/etc/passwd", "@model_path", "@model_path/", "@model_path/../w.bin",
        "@model_path/a/../../w.bin", "@model_path//etc/passwd", "@model_path/a/", "@model_path/.",
        "@model_path/a\nb", "@model_path/model.mil", "@model_path/MODEL.mil"}) {
    CHECK_THROWS(pyane::BlobError, static_cast<void>(relative_weight_path(hostile)));
  }
}

void test_last_user_removes() {
  const TemporaryFolder temporary;
  ModelFolder first(temporary.path(), "id", model());
  CHECK(read(first.path() / "model.mil") == "program(1.3) {}");
  CHECK(read(first.path() / "weights/deep/w.bin") == "0123456789");
  {
    const ModelFolder second(temporary.path(), "id", model());
    first = ModelFolder();
    CHECK(fs::exists(second.path() / "model.mil"));
  }
  CHECK(temporary.is_empty());
}

void test_another_process_keeps_it() {
  const TemporaryFolder temporary;
  int ready[2];
  int done[2];
  CHECK(pipe(ready) == 0 && pipe(done) == 0);
  const pid_t child = fork();
  if (child == 0) {
    char byte = 0;
    {
      const ModelFolder theirs(temporary.path(), "id", model());
      if (write(ready[1], "x", 1) != 1 || ::read(done[0], &byte, 1) != 1) _exit(1);
      if (!fs::exists(theirs.path() / "model.mil")) _exit(2);
    }
    _exit(temporary.is_empty() ? 0 : 3);
  }
  char byte = 0;
  CHECK(::read(ready[0], &byte, 1) == 1);
  {
    const ModelFolder ours(temporary.path(), "id", model());
  }
  CHECK(fs::exists(temporary.path() / "id" / "model.mil"));
  CHECK(write(done[1], "x", 1) == 1);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(temporary.is_empty());
}

void test_failure_leaves_nothing() {
  const TemporaryFolder temporary;
  pyane::mil::Model bad = model();
  bad.weights["@model_path/weights"] = {};  // a file where the other weight needs a folder
  CHECK_THROWS(pyane::Error, ModelFolder(temporary.path(), "id", bad));
  CHECK(temporary.is_empty());
  bad.weights.erase("@model_path/weights");
  bad.weights["../w.bin"] = {};
  CHECK_THROWS(pyane::BlobError, ModelFolder(temporary.path(), "id", bad));
  CHECK(temporary.is_empty());
  CHECK_THROWS(pyane::Error, ModelFolder(temporary.path() / "absent", "id", model()));
  // Not through a link to somewhere else, and not out of it.
  fs::create_directory(temporary.path() / "elsewhere");
  fs::create_directory_symlink(temporary.path() / "elsewhere", temporary.path() / "id");
  CHECK_THROWS(pyane::Error, ModelFolder(temporary.path(), "id", model()));
  CHECK(fs::is_empty(temporary.path() / "elsewhere"));
}

void test_threads() {
  const TemporaryFolder temporary;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&temporary, t] {
      for (int i = 0; i < 100; ++i) {
        const ModelFolder folder(temporary.path(), t % 2 == 0 ? "even" : "odd", model());
        CHECK(read(folder.path() / "model.mil") == "program(1.3) {}");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(temporary.is_empty());
}

void test_kept_text() {
  const TemporaryFolder temporary;
  const fs::path kept = pyane::ane::keep_failed_text(temporary.path(), "id", "first");
  CHECK(read(kept) == "first");
  CHECK(pyane::ane::keep_failed_text(temporary.path(), "id", "second") == kept);
  CHECK(read(kept) == "second");
  CHECK(pyane::ane::keep_failed_text(temporary.path() / "absent", "id", "text").empty());
}

}  // namespace

int main() {
  test_paths();
  test_last_user_removes();
  test_another_process_keeps_it();
  test_failure_leaves_nothing();
  test_threads();
  test_kept_text();
  return 0;
}
