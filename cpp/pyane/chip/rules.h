#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pyane/chip/diagnostic.h"
#include "pyane/chip/function_view.h"
#include "pyane/chip/profile.h"

// The linter's rules, one record each. Ids are for ever: a rule that goes leaves a gap.
// docs/ane_constraints.md is generated from the records by tools/generate_ane_constraints.py.

namespace pyane::chip {

/// What a rule looks at: one function of a model, and the chip. Rules about whole programs
/// (Rule::check_program) get the view of the first function checked.
struct RuleContext {
  const mil::Program& program;
  const mil::WeightFiles& weights;
  const FunctionView& function;
  const Profile& chip;
};

/// Where a finding is.
struct Place {
  mil::Location location;
  std::string_view operation;
  std::string_view value;

  static Place of(const OpView& op);
  static Place of(const ValueView& value);
  static Place of(const mil::Function& function);
};

/// One finding of a rule; what is left out comes from the rule's record.
struct Finding {
  Place place;
  std::string message;
  std::optional<Severity> severity = std::nullopt;
  bool is_contested = false;
  /// How the chip's value is known: goes before the rule's evidence.
  std::string evidence = {};
  std::string engine_text = {};
};

struct Rule;

/// Collects the findings of one rule, kMostFindings at most: the last one tells how many more.
class Report {
 public:
  Report(const Rule& rule, const RuleContext& context, std::vector<Diagnostic>& out)
      : rule_(rule), context_(context), out_(out) {}
  ~Report();
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;
  void add(Finding finding);

  /// Bounds the memory that a hostile program can ask for.
  static constexpr std::size_t kMostFindings = 1000;

 private:
  std::size_t n_findings_ = 0;
  const Rule& rule_;
  const RuleContext& context_;
  std::vector<Diagnostic>& out_;
};

using Check = void (*)(const RuleContext&, Report&);

struct Rule {
  std::string_view id;     ///< "ANE001"
  std::string_view name;   ///< "unsupported-operation"
  std::string_view title;  ///< One line.
  Severity severity;
  std::string_view why;
  std::string_view instead;
  std::string_view evidence;
  std::string_view engine_text;  ///< Empty: not known.
  Check check_function = nullptr;
  Check check_program = nullptr;
};

/// Sorted by id.
const std::vector<Rule>& all_rules();
/// By id or name, in any case; nullptr when there is none.
const Rule* find_rule(std::string_view id_or_name);

/// "ane-guide ch.4 (measured)": how a chip's value is known.
std::string evidence_of(std::string_view source, Status status);
template <class T>
std::string evidence_of(const Fact<T>& fact) {
  return evidence_of(fact.source, fact.status);
}
template <class T>
bool is_contested(const Fact<T>& fact) {
  return fact.status == Status::kContested;
}

/// "tensor 'x' of fp16 [1, 64]": how messages call a value.
std::string describe(const ValueView& value);
/// A tensor that is computed or given at run time.
bool is_run_time_tensor(const ValueView& value);
/// Bytes of a tensor, packed; 0 when a dimension is not known.
std::int64_t packed_bytes(const mil::Type& type);

/// " (and 3 more like it)" for the rest of `n` findings told in one; "" for one.
std::string and_more(std::size_t n);

// Families, one file each in rules/.
std::vector<Rule> operation_rules();
std::vector<Rule> shape_rules();
std::vector<Rule> dtype_rules();
std::vector<Rule> convolution_rules();
std::vector<Rule> matmul_rules();
std::vector<Rule> compiler_rules();
std::vector<Rule> attention_rules();
std::vector<Rule> range_rules();
std::vector<Rule> numerics_rules();
std::vector<Rule> weight_rules();
std::vector<Rule> surface_rules();
std::vector<Rule> speed_rules();

}  // namespace pyane::chip
