#include "evaluator.h"

#include <deque>
#include <exception>
#include <fstream>
#include <iterator>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "pyane/emulator/emulator_device.h"

namespace fake_ane {
namespace {

constexpr std::size_t kKept = 32;

std::mutex kept_mutex;

// Never destroyed, as its users may outlive static destruction. Newest last.
std::deque<std::pair<std::string, std::shared_ptr<Program>>>& kept() {
  static auto* programs = new std::deque<std::pair<std::string, std::shared_ptr<Program>>>;
  return *programs;
}

std::optional<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

std::shared_ptr<Program> compile_folder(const std::string& folder, const std::string& text,
                                        const std::vector<std::string>& weight_paths,
                                        std::string* reason) noexcept {
  try {
    const auto on_disk = read_file(folder + "/model.mil");
    if (!on_disk || *on_disk != text) {
      *reason = "no model.mil with the descriptor's text in " + folder;
      return nullptr;
    }
    pyane::mil::Model model{.text = text, .weights = {}, .source_name = "model.mil"};
    for (const std::string& path : weight_paths) {
      const std::string_view prefix = "@model_path/";
      const std::string relative =
          path.starts_with(prefix) ? path.substr(prefix.size()) : std::string("?");
      auto bytes = read_file(folder + "/" + relative);
      if (!bytes) {
        *reason = "no weight file " + relative + " in " + folder;
        return nullptr;
      }
      const auto owner = std::make_shared<const std::string>(std::move(*bytes));
      model.weights.emplace(
          path,
          pyane::mil::SharedBytes{.owner = owner,
                                  .bytes = std::as_bytes(std::span(owner->data(), owner->size()))});
    }
    return std::make_shared<Program>(pyane::emulator::create_device()->compile(model, {}));
  } catch (const std::exception& e) {
    *reason = e.what();
    return nullptr;
  }
}

std::shared_ptr<Program> find_compiled(const std::string& identifier) {
  const std::lock_guard guard(kept_mutex);
  for (const auto& [key, program] : kept()) {
    if (key == identifier) return program;
  }
  return nullptr;
}

void keep_compiled(const std::string& identifier, std::shared_ptr<Program> program) {
  const std::lock_guard guard(kept_mutex);
  std::erase_if(kept(), [&](const auto& entry) { return entry.first == identifier; });
  kept().emplace_back(identifier, std::move(program));
  if (kept().size() > kKept) kept().pop_front();
}

void forget_compiled() {
  const std::lock_guard guard(kept_mutex);
  kept().clear();
}

std::unique_ptr<Binding> Binding::make(std::shared_ptr<Program> program,
                                       const std::vector<void*>& inputs,
                                       const std::vector<void*>& outputs,
                                       std::string* reason) noexcept {
  try {
    const auto wrap = [](const std::vector<void*>& handles) {
      std::vector<std::shared_ptr<pyane::Surface>> surfaces;
      for (void* handle : handles) surfaces.push_back(pyane::wrap_surface(handle));
      return surfaces;
    };
    std::unique_ptr<Binding> binding(new Binding);
    binding->request_ = program->kernel().bind(wrap(inputs), wrap(outputs));
    binding->program_ = std::move(program);
    return binding;
  } catch (const std::exception& e) {
    *reason = e.what();
    return nullptr;
  }
}

bool Binding::evaluate(std::string* reason) noexcept {
  try {
    request_->evaluate();
    return true;
  } catch (const std::exception& e) {
    *reason = e.what();
    return false;
  }
}

}  // namespace fake_ane
