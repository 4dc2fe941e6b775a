#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "pyane/mil/weights.h"

namespace pyane::ane {

/// Where a weight named in MIL text lives below the model's folder: "@model_path/weights/w.bin" ->
/// "weights/w.bin".
/// @throws BlobError  unless it starts with "@model_path/" and names a file below it: no "..", no
/// empty part, no control characters, not "model.mil".
std::filesystem::path relative_weight_path(std::string_view path_in_text);

/// The folder `parent/identifier/` with model.mil and the weight files, where the framework's
/// compiler looks for them. Equal models share it: users are counted, in this process and (by a
/// lock file beside it) in others, and the last one removes it. Thread-safe.
class ModelFolder {
 public:
  ModelFolder() = default;
  /// @throws BlobError  for a weight path that relative_weight_path refuses.
  /// @throws Error  when the folder or a file cannot be written, naming it and the reason.
  ModelFolder(const std::filesystem::path& parent, const std::string& identifier,
              const mil::Model& model);
  ModelFolder(ModelFolder&& other) noexcept;
  ModelFolder& operator=(ModelFolder&& other) noexcept;
  ~ModelFolder();

  const std::filesystem::path& path() const { return path_; }

 private:
  void release() noexcept;
  std::filesystem::path path_;  ///< Empty: holds nothing.
};

/// Keeps the text of a model that failed to compile, for a report.
/// @return Its path, or an empty one when it cannot be written.
std::filesystem::path keep_failed_text(const std::filesystem::path& parent,
                                       const std::string& identifier, std::string_view text);

}  // namespace pyane::ane
