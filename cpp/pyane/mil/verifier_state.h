#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pyane/mil/verifier.h"

// One function being verified, in four files by subject: verifier.cpp (the function and its
// operations one by one), value_verifier.cpp (names and constants), argument_verifier.cpp (what an
// operation's record says of its inputs), block_verifier.cpp (blocks of cond and while_loop,
// operations of constants).

namespace pyane::mil {

/// Equal, or equal where both are known. Unknown dimensions take the known ones of the other.
bool merge(Type& inferred, const Type& declared);

class Verifier {
 public:
  Verifier(const Program& program, const Function& function, const WeightFiles* weights,
           const EvaluateConstant& evaluate, const WarningSink& warn = {})
      : program_(program),
        function_(function),
        weights_(weights),
        evaluate_(evaluate),
        warn_(warn) {
    result_.function = &function;
    result_.source_name = program.source_name;
  }

  VerifiedFunction run();
  std::vector<Type> infer(const Operation& operation, const std::vector<KnownValue>& values);

 private:
  // verifier.cpp
  void check_function_names() const;
  void check_dims(const Value& value) const;
  void add_parameter(const Value& parameter);
  void add_operations(const std::vector<Operation>& operations,
                      std::vector<VerifiedOperation>& verified);
  void add_operation(const Operation& operation, std::vector<VerifiedOperation>& operations);
  std::vector<Type> infer_checked(const VerifiedOperation& verified) const;
  void add_output(const Operand& output);

  // value_verifier.cpp
  ValueId add_value(const Value& declared, VerifiedValue value);
  std::vector<std::string_view> visible_names() const;
  ValueId find(const Operand& operand) const;
  ValueId resolve(const Operand& operand, bool may_be_empty = false);
  bool is_empty(ValueId id) const;
  ValueId add_literal(const Literal& literal);
  std::shared_ptr<const Constant> constant_of(const Literal& literal);
  void count_unpacked(const Literal& literal);
  void add_constant(const Operation& operation);

  // argument_verifier.cpp
  const OpRecord& record_of(const Operation& operation) const;
  const InputSpec& spec_of(const OpRecord& record, const Argument& argument) const;
  static bool joins_values(const InputSpec& spec, const OpRecord& record);
  static std::string named(const InputSpec& spec, const VerifiedValue& value);
  std::vector<VerifiedInput> bind_inputs(const Operation& operation, const OpRecord& record);
  void leave_out_empty_values(VerifiedOperation& verified) const;
  void check_operand(const InputSpec& spec, const Location& at, const VerifiedValue& value) const;
  void check_groups(const Operation& operation, const std::vector<VerifiedInput>& inputs) const;
  void check_opset(const Operation& operation, const OpRecord& record) const;
  VerifiedOperation check_arguments(const Operation& operation);

  // block_verifier.cpp
  void add_blocks(VerifiedOperation& verified);
  VerifiedBlock add_block(const VerifiedOperation& outer, const Block& block);
  std::vector<std::shared_ptr<const Constant>> fold(const VerifiedOperation& verified,
                                                    const std::vector<Type>& types) const;
  std::vector<std::shared_ptr<const Constant>> fold_cond(const VerifiedOperation& verified) const;

  // Errors.
  std::string place(const Location& at) const;
  [[noreturn]] void fail(const Location& at, const std::string& message) const;

  const Program& program_;
  const Function& function_;
  const WeightFiles* weights_;
  const EvaluateConstant& evaluate_;
  const WarningSink warn_;
  std::int64_t unpacked_bytes_ = 0;
  const Operation* operation_ = nullptr;
  std::vector<std::string> scope_;  ///< Names in the order of their definition.
  std::unordered_map<std::string, std::pair<ValueId, Location>> names_;
  VerifiedFunction result_;
};

}  // namespace pyane::mil
