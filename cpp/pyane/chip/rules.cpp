#include "pyane/chip/rules.h"

#include <algorithm>
#include <iterator>

#include "pyane/base/dtype.h"
#include "pyane/base/shape.h"

namespace pyane::chip {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

std::vector<Rule> collect() {
  std::vector<Rule> all;
  for (const auto family :
       {operation_rules, shape_rules, dtype_rules, convolution_rules, matmul_rules, compiler_rules,
        attention_rules, range_rules, numerics_rules, weight_rules, surface_rules, speed_rules}) {
    std::vector<Rule> some = family();
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
  std::sort(all.begin(), all.end(), [](const Rule& a, const Rule& b) { return a.id < b.id; });
  return all;
}

}  // namespace

Place Place::of(const OpView& op) {
  return {.location = op.operation->location,
          .operation = op.operation->type,
          .value = op.operation->outputs.empty() ? std::string_view()
                                                 : op.operation->outputs.front().name};
}

Place Place::of(const ValueView& value) {
  return {.location = value.location, .operation = {}, .value = value.name};
}

Place Place::of(const mil::Function& function) {
  return {.location = function.location, .operation = {}, .value = {}};
}

Report::~Report() {
  if (n_findings_ > kMostFindings) {
    out_.back().message += and_more(n_findings_ - kMostFindings + 1);
  }
}

void Report::add(Finding finding) {
  if (++n_findings_ > kMostFindings) return;
  Diagnostic d;
  d.rule = rule_.id;
  d.name = rule_.name;
  d.severity = finding.severity.value_or(rule_.severity);
  d.is_contested = finding.is_contested;
  d.chip = context_.chip.name;
  d.message = std::move(finding.message);
  d.why = rule_.why;
  d.instead = rule_.instead;
  d.evidence = std::move(finding.evidence);
  if (d.evidence.empty()) d.evidence = rule_.evidence;
  d.source_name = context_.program.source_name;
  d.function = context_.function.function().name;
  d.line = finding.place.location.line;
  d.column = finding.place.location.column;
  d.operation = finding.place.operation;
  d.value = finding.place.value;
  d.engine_text =
      finding.engine_text.empty() ? std::string(rule_.engine_text) : finding.engine_text;
  out_.push_back(std::move(d));
}

const std::vector<Rule>& all_rules() {
  static const std::vector<Rule> all = collect();
  return all;
}

const Rule* find_rule(std::string_view id_or_name) {
  const std::string wanted = lower(id_or_name);
  for (const Rule& rule : all_rules()) {
    if (lower(rule.id) == wanted || rule.name == wanted) return &rule;
  }
  return nullptr;
}

std::string evidence_of(std::string_view source, Status status) {
  return std::string(source) + " (" + std::string(to_string(status)) + ")";
}

std::string describe(const ValueView& value) {
  return "'" + std::string(value.name) + "' (" + std::string(dtype_name(value.type->dtype)) + " " +
         to_string(value.dims()) + ")";
}

bool is_run_time_tensor(const ValueView& value) {
  return !value.is_constant && value.type != nullptr &&
         (value.type->is_tensor() || value.type->kind == mil::Type::Kind::kTensorBuffer);
}

std::int64_t packed_bytes(const mil::Type& type) {
  const auto count = element_count(type.dims);
  return count ? (*count * dtype_info(type.dtype).bits + 7) / 8 : 0;
}

std::string and_more(std::size_t n) {
  return n < 2 ? "" : " (and " + std::to_string(n - 1) + " more like it)";
}

std::string_view to_string(Severity severity) {
  switch (severity) {
    case Severity::kRefusedAtCompile:
      return "refused-at-compile";
    case Severity::kRefusedAtEvaluate:
      return "refused-at-evaluate";
    case Severity::kSilentlyWrong:
      return "silently-wrong";
    case Severity::kSlow:
      return "slow";
    case Severity::kAdvice:
      return "advice";
  }
  return "";
}

std::string to_string(const Diagnostic& d) {
  std::string text = d.source_name;
  if (d.line > 0) text += ":" + std::to_string(d.line) + ":" + std::to_string(d.column);
  text += ": " + std::string(d.chip) + ": " + std::string(to_string(d.severity));
  if (d.is_contested) text += " (contested)";
  text += ": " + d.message;
  return text + " [" + std::string(d.rule) + " " + std::string(d.name) + "]";
}

}  // namespace pyane::chip
