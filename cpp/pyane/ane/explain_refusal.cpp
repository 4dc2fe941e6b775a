#include "pyane/ane/explain_refusal.h"

#include <algorithm>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/chip/check.h"

namespace pyane::ane {
namespace {

constexpr std::size_t kMostFindings = 5;

const chip::Profile* find_by_architecture(std::string_view architecture) {
  for (const chip::Profile& profile : chip::profiles()) {
    if (profile.architecture.value == architecture) return &profile;
  }
  return nullptr;
}

}  // namespace

std::string explain_refusal(const mil::Model& model, std::string_view architecture,
                            const std::string& function) {
  const chip::Profile* profile = find_by_architecture(architecture);
  if (profile == nullptr) return "";
  std::vector<chip::Diagnostic> found;
  try {
    found = chip::check(model, *profile, {.function = function});
  } catch (const Error&) {
    return "";  // The compile's own failure is the news.
  }
  std::erase_if(found, [](const chip::Diagnostic& d) {
    return d.severity != chip::Severity::kRefusedAtCompile;
  });
  // What all sources agree on first.
  std::vector<const chip::Diagnostic*> ordered;
  for (const bool is_contested : {false, true}) {
    for (const chip::Diagnostic& d : found) {
      if (d.is_contested == is_contested) ordered.push_back(&d);
    }
  }
  std::string text;
  for (std::size_t i = 0; i < std::min(found.size(), kMostFindings); ++i) {
    text += (i == 0 ? " Perhaps because: " : "; ") + std::to_string(ordered[i]->line) + ":" +
            std::to_string(ordered[i]->column) + " " + ordered[i]->message + " (" +
            std::string(ordered[i]->rule) + ")";
  }
  if (found.size() > kMostFindings) {
    text += "; and " + std::to_string(found.size() - kMostFindings) + " more: see pyane check";
  }
  return text.empty() ? "" : text + ".";
}

}  // namespace pyane::ane
