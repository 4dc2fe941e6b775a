#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "pyane/mil/program.h"
#include "pyane/mil/weights.h"

// The registry of MIL operations: one record per operation, the only table of them. The verifier
// checks and infers with it, the emulator's kernels are keyed by it, the Python builder takes
// parameter names, defaults and result types from it, docs/mil_subset.md is generated from it.

namespace pyane::mil {

using pyane::to_string;  // Of a Shape; Type has its own.

class OpContext;

/// Default of an optional input. `Fill{v, n}` is a vector of v whose length depends on the rank of
/// input `x`: n = 1 or 2 entries per spatial dimension (rank - 2), as for conv's strides and pad.
struct Fill {
  std::int64_t value;
  int per_spatial_dim;
};
using Default = std::variant<std::monostate, bool, std::int64_t, double, std::string,
                             std::vector<std::int64_t>, Fill>;

/// Set of dtypes as bits 1 << static_cast<int>(DType).
using DTypeSet = std::uint32_t;

constexpr DTypeSet dtype_set(std::initializer_list<DType> dtypes) {
  DTypeSet set = 0;
  for (const DType dtype : dtypes) set |= DTypeSet{1} << static_cast<int>(dtype);
  return set;
}

/// "fp16, fp32 or int32", for messages.
std::string dtype_names(DTypeSet dtypes);

struct InputSpec {
  std::string name;
  DTypeSet dtypes = 0;  ///< Accepted element types.
  /// Inputs with the same letter must have the same element type (MIL's "T"); 0: free.
  char group = 0;
  bool is_required = true;
  bool is_constant = false;    ///< Must be known before evaluation.
  bool is_variadic = false;    ///< `values = (a, b, c)`.
  Default default_value = {};  ///< For optional inputs; monostate: no default, may be absent.
  Type::Kind kind = Type::Kind::kTensor;
  int rank = -1;  ///< 0: a scalar; 1: a vector; -1: any, or left to the operation's inference.
  bool is_any_kind = false;   ///< Takes values of every kind, not of `kind` only.
  bool is_type_only = false;  ///< The result depends on its type, not on its elements.
};

/// Result types from operand types and constants; fails through OpContext::fail.
using InferTypes = std::vector<Type> (*)(const OpContext&);

struct OpRecord {
  std::string name;
  std::string opset;   ///< First opset that has it: "ios15", ...
  std::string family;  ///< File of mil/ops it lives in, e.g. "elementwise_binary".
  std::vector<InputSpec> inputs;
  InferTypes infer = nullptr;
  /// May take its inputs as attributes (const, and the iOS16 form of the constexpr operations).
  bool inputs_are_attributes = false;
  /// Has a number of results that is not one, or depends on the arguments.
  bool returns_tuple = false;
  /// The result of constant inputs counts as a constant itself (the constexpr operations).
  bool is_constexpr = false;
  /// Gives other numbers at every evaluation, or changes something: never evaluated beforehand.
  bool is_impure = false;
  /// Blocks nested in it, and the input whose operands the blocks' parameters stand for.
  int n_blocks = 0;
  std::string block_parameters = {};

  const InputSpec* find_input(std::string_view input) const;
};

/// nullptr when there is no such operation.
const OpRecord* find_op(std::string_view name);

/// Every record, sorted by name.
const std::vector<const OpRecord*>& all_ops();

/// What an operation's inference (and an emulator kernel, at compile time) may ask about it:
/// operand types, compile-time values, defaults from the record.
class OpContext {
 public:
  /// One bound input: the type of each operand, and its value when known before evaluation.
  struct Bound {
    std::vector<const Type*> types;
    std::vector<const Constant*> constants;  ///< Same length; nullptr entries for run-time values.
  };

  /// What a nested block takes and gives.
  struct BlockTypes {
    std::vector<const Type*> parameters;
    std::vector<const Type*> outputs;
  };

  OpContext(const Operation& operation, const OpRecord& record, std::string_view source_name);

  /// Used by whoever builds the context (verifier, Python builder).
  void bind(std::string_view input, Bound bound);
  void add_block(BlockTypes block) { blocks_.push_back(std::move(block)); }

  const Operation& operation() const { return operation_; }
  const OpRecord& record() const { return record_; }

  bool has(std::string_view input) const;
  /// Type of a given, non-variadic input.
  const Type& type(std::string_view input) const;
  const Shape& dims(std::string_view input) const { return type(input).dims; }
  DType dtype(std::string_view input) const { return type(input).dtype; }
  const std::vector<const Type*>& types(std::string_view input) const;
  /// Value of a given, non-variadic input; nullptr when it is absent, or known only at evaluation,
  /// or kept in a weight file that was not given.
  const Constant* constant(std::string_view input) const;

  // Compile-time values, with the record's default when the input is absent. They fail() when the
  // input is given but is not a constant of the right kind.
  bool boolean(std::string_view input) const;
  std::int64_t integer(std::string_view input) const;
  double real(std::string_view input) const;
  std::string string(std::string_view input) const;
  std::vector<std::int64_t> integers(std::string_view input) const;
  std::vector<bool> booleans(std::string_view input) const;  ///< Empty when absent.
  /// Integers of any shape, row-major.
  std::vector<std::int64_t> matrix(std::string_view input) const;
  /// One integer (or bool: 0, 1) per value of a variadic input.
  std::vector<std::int64_t> integers_of(std::string_view input) const;
  const std::vector<BlockTypes>& blocks() const { return blocks_; }
  /// A normalised axis in [0, rank); negative counts from the end.
  std::int64_t axis(std::string_view input, std::size_t rank) const;

  /// Throws MilVerifyError: `file:line:col: conv 'name': <message>`; without the place for an
  /// operation that was not parsed.
  [[noreturn]] void fail(const std::string& message) const;

 private:
  const Bound* find(std::string_view input) const;

  const Operation& operation_;
  const OpRecord& record_;
  std::string source_name_;
  std::vector<std::pair<std::string, Bound>> bound_;
  std::vector<BlockTypes> blocks_;
};

}  // namespace pyane::mil
