#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pyane/mil/op_set.h"
#include "pyane/mil/program.h"
#include "pyane/mil/weights.h"

namespace pyane::mil {

/// Index into VerifiedFunction::values.
using ValueId = int;

struct VerifiedValue {
  std::string name;  ///< Empty for an inline literal.
  Type type;
  std::shared_ptr<const Constant> constant;  ///< Known before evaluation; nullptr otherwise.
  /// Index into operations; -1 for parameters, literals, and what nested blocks make.
  int producer = -1;
  bool is_constexpr = false;  ///< Made by a constexpr operation: counts as a constant.
};

struct VerifiedInput {
  const InputSpec* spec;
  std::vector<ValueId> values;
};

struct VerifiedOperation;

/// A block nested in an operation. Its values are in VerifiedFunction::values, too; its operations
/// may use all that is defined before it.
struct VerifiedBlock {
  std::vector<ValueId> parameters;
  std::vector<VerifiedOperation> operations;
  std::vector<ValueId> outputs;
};

struct VerifiedOperation {
  const Operation* operation;
  const OpRecord* record;
  std::vector<VerifiedInput> inputs;
  std::vector<ValueId> outputs;
  std::vector<VerifiedBlock> blocks = {};  ///< Of cond and while_loop.

  /// nullptr when the input is absent.
  const VerifiedInput* find_input(std::string_view name) const;
};

/// A function whose names are resolved and whose types are inferred and agree with the declared
/// ones. `const` operations (and inline literals) appear as values with `constant`, not as
/// operations. Points into the Program it was made from, which must outlive it.
struct VerifiedFunction {
  const Function* function;
  std::vector<VerifiedValue> values;
  std::vector<ValueId> parameters;
  std::vector<VerifiedOperation> operations;
  std::vector<ValueId> outputs;
  std::string_view source_name;

  /// The context an emulator kernel or rule asks for compile-time values.
  OpContext context(const VerifiedOperation& operation) const;
};

/// Evaluates an operation all of whose inputs are constants (or InputSpec::is_type_only); one
/// constant per result of the given types. Empty when it cannot.
/// @throws Error  for values that the operation cannot take.
using EvaluateConstant = std::function<std::vector<std::shared_ptr<const Constant>>(
    const VerifiedFunction& so_far, const VerifiedOperation& operation,
    const std::vector<Type>& results)>;

/// Operations of constants are evaluated while verifying up to this many elements of their results:
/// shapes and the like. Larger ones are left to whoever compiles.
inline constexpr std::int64_t kMaxFoldedElements = 4096;

/// Checks one function: names are unique and defined before use, operands fit the operation's
/// record, every declared result type equals the inferred one, outputs exist.
///
/// @param weights  nullptr: types are checked, blob contents are not.
/// @param evaluate  Makes the results of small operations of constants constants themselves, so
///     that shapes worked out by the program are known. Without it they keep their declared types.
/// @param warn  Told of wrong fields in weight files that could be done without.
/// @throws MilVerifyError  with the operation and its place.
/// @throws UnsupportedOpError  for an operation that has no record.
/// @throws BlobError  for a weight that its file does not hold.
VerifiedFunction verify(const Program& program, const Function& function,
                        const WeightFiles* weights, const EvaluateConstant& evaluate = {},
                        const WarningSink& warn = {});

/// What is known of a value when an operation is looked at by itself.
struct KnownValue {
  std::string name;
  Type type;
  bool is_constant = false;  ///< Known before evaluation, though not here.
};

/// Result types of one operation that has no declared results yet; for whoever writes programs.
/// Arguments name `values` or are literals. Checks and throws as `verify` does.
std::vector<Type> infer_types(const Operation& operation, const std::vector<KnownValue>& values);

}  // namespace pyane::mil
