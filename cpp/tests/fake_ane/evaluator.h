#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pyane/engine/device.h"

// The stand-in's engine: pyane's emulator, in a copy of its own. Nothing here throws: Objective-C
// calls it.

namespace fake_ane {

/// A compiled program, weights baked in.
class Program {
 public:
  explicit Program(std::shared_ptr<pyane::Kernel> kernel) : kernel_(std::move(kernel)) {}
  /// Alphabetical.
  const std::vector<pyane::TensorSpec>& inputs() const { return kernel_->inputs(); }
  const std::vector<pyane::TensorSpec>& outputs() const { return kernel_->outputs(); }
  pyane::Kernel& kernel() const { return *kernel_; }

 private:
  std::shared_ptr<pyane::Kernel> kernel_;
};

/// Compiles what is in `folder`: model.mil, and the weight files named by `weight_paths` as the
/// text names them ("@model_path/..."). nullptr with a reason when it cannot.
std::shared_ptr<Program> compile_folder(const std::string& folder, const std::string& text,
                                        const std::vector<std::string>& weight_paths,
                                        std::string* reason) noexcept;

/// The compiled form kept by the framework for this identifier; nullptr if none. It keeps a few.
std::shared_ptr<Program> find_compiled(const std::string& identifier);
void keep_compiled(const std::string& identifier, std::shared_ptr<Program> program);
void forget_compiled();

/// Surfaces bound to a program; handles are IOSurfaceRefs.
class Binding {
 public:
  /// nullptr with a reason when the surfaces do not fit.
  static std::unique_ptr<Binding> make(std::shared_ptr<Program> program,
                                       const std::vector<void*>& inputs,
                                       const std::vector<void*>& outputs,
                                       std::string* reason) noexcept;
  const Program* program() const { return program_.get(); }
  bool evaluate(std::string* reason) noexcept;

 private:
  Binding() = default;
  std::shared_ptr<Program> program_;
  std::shared_ptr<pyane::Request> request_;
};

}  // namespace fake_ane
