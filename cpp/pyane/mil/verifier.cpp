#include "pyane/mil/verifier.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "pyane/base/cpu.h"
#include "pyane/base/error.h"
#include "pyane/base/interrupt.h"
#include "pyane/mil/limits.h"
#include "pyane/mil/sub_byte.h"
#include "pyane/mil/suggest.h"

namespace pyane::mil {
namespace {

const char* kind_name(Type::Kind kind) {
  switch (kind) {
    case Type::Kind::kTensor:
      return "a tensor";
    case Type::Kind::kList:
      return "a list";
    case Type::Kind::kDict:
      return "a dict";
    case Type::Kind::kTuple:
      return "a tuple";
    case Type::Kind::kState:
      return "a state";
    case Type::Kind::kTensorBuffer:
      return "a tensor_buffer";
  }
  return "a value";
}

/// Equal, or equal where both are known. Unknown dimensions take the known ones of the other.
bool merge(Type& inferred, const Type& declared) {
  if (inferred.kind != declared.kind || inferred.dims.size() != declared.dims.size()) return false;
  const bool has_dtype =
      inferred.kind == Type::Kind::kTensor || inferred.kind == Type::Kind::kTensorBuffer;
  if (has_dtype && inferred.dtype != declared.dtype) return false;
  for (std::size_t i = 0; i < inferred.dims.size(); ++i) {
    if (inferred.dims[i] == kUnknownDim) {
      inferred.dims[i] = declared.dims[i];
    } else if (declared.dims[i] != kUnknownDim && declared.dims[i] != inferred.dims[i]) {
      return false;
    }
  }
  if (inferred.kind == Type::Kind::kTensorBuffer) {
    return inferred.strides == declared.strides &&
           inferred.interleave_factors == declared.interleave_factors;
  }
  if (inferred.kind == Type::Kind::kList) {
    if (inferred.length == kUnknownDim) inferred.length = declared.length;
    return (declared.length == kUnknownDim || declared.length == inferred.length) &&
           inferred.elements.size() == declared.elements.size() &&
           std::equal(inferred.elements.begin(), inferred.elements.end(), declared.elements.begin(),
                      [](const Type& a, const Type& b) {
                        Type merged = a;
                        return merge(merged, b);
                      });
  }
  return has_dtype || std::equal(inferred.elements.begin(), inferred.elements.end(),
                                 declared.elements.begin(), declared.elements.end(), same_type);
}

/// 17 of "ios17"; 0 for what is not of this form.
int opset_number(std::string_view opset) {
  int number = 0;
  if (opset.substr(0, 3) != "ios" || opset.size() > 6) return 0;
  for (const char c : opset.substr(3)) {
    if (c < '0' || c > '9') return 0;
    number = 10 * number + (c - '0');
  }
  return number;
}

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

  VerifiedFunction run() {
    check_function_names();
    for (const Value& parameter : function_.parameters) add_parameter(parameter);
    add_operations(function_.body.operations, result_.operations);
    for (const Operand& output : function_.body.outputs) add_output(output);
    return std::move(result_);
  }

  std::vector<Type> infer(const Operation& operation, const std::vector<KnownValue>& values) {
    for (const KnownValue& known : values) {
      VerifiedValue value{.name = {}, .type = known.type, .constant = nullptr};
      if (known.is_constant) {
        Constant unread;
        unread.type = known.type;
        unread.is_missing = true;
        value.constant = std::make_shared<const Constant>(std::move(unread));
      }
      add_value({.type = known.type, .name = known.name, .location = {}}, std::move(value));
    }
    operation_ = &operation;
    VerifiedOperation verified = check_arguments(operation);
    return infer_checked(verified);
  }

 private:
  std::string place(const Location& at) const {
    std::string text;
    if (at.line > 0) {
      text = program_.source_name + ":" + std::to_string(at.line) + ":" +
             std::to_string(at.column) + ": ";
    }
    if (operation_ != nullptr) {
      return text + operation_->type + " '" + operation_->display_name() + "': ";
    }
    return text + "func '" + function_.name + "': ";
  }

  [[noreturn]] void fail(const Location& at, const std::string& message) const {
    throw MilVerifyError(place(at) + message, operation_ == nullptr ? "" : operation_->type,
                         at.line, at.column);
  }

  void check_function_names() const {
    const auto is_same = [&](const Function& other) { return other.name == function_.name; };
    if (std::count_if(program_.functions.begin(), program_.functions.end(), is_same) > 1) {
      fail(function_.location, "is defined twice in the program");
    }
  }

  void check_dims(const Value& value) const {
    const Type& type = value.type.kind == Type::Kind::kState && !value.type.elements.empty()
                           ? value.type.elements.front()
                           : value.type;
    for (const std::int64_t dim : type.dims) {
      if (dim == kUnknownDim || dim > 0) continue;
      fail(value.location,
           "'" + value.name + "' must have positive dimensions, got " + to_string(value.type));
    }
  }

  ValueId add_value(const Value& declared, VerifiedValue value) {
    const auto id = static_cast<ValueId>(result_.values.size());
    const auto [found, is_new] = names_.emplace(declared.name, std::pair(id, declared.location));
    if (!is_new) {
      const int line = found->second.second.line;
      fail(declared.location, "'" + declared.name + "' is defined twice" +
                                  (line > 0 ? ", first on line " + std::to_string(line) : ""));
    }
    scope_.push_back(declared.name);
    value.name = declared.name;
    result_.values.push_back(std::move(value));
    return id;
  }

  void add_parameter(const Value& parameter) {
    const Type& type = parameter.type;
    const bool is_state = type.kind == Type::Kind::kState && type.elements.size() == 1 &&
                          type.elements.front().is_tensor();
    const bool is_array = (type.is_tensor() || type.kind == Type::Kind::kTensorBuffer) &&
                          type.dtype != DType::kString;
    if (!is_array && !is_state) {
      fail(parameter.location, "parameter '" + parameter.name +
                                   "' must be a tensor, a tensor_buffer or a state of a tensor "
                                   "(of numbers or bools), got " +
                                   to_string(type));
    }
    check_dims(parameter);
    result_.parameters.push_back(
        add_value(parameter, {.name = {}, .type = type, .constant = nullptr}));
  }

  std::shared_ptr<const Constant> constant_of(const Literal& literal) {
    if (std::holds_alternative<std::vector<Literal>>(literal.payload)) {
      // A list of labels, say. It may stand there; operations that take tensors refuse its type.
      Constant unread;
      unread.type = literal.type;
      unread.is_missing = true;
      return std::make_shared<const Constant>(std::move(unread));
    }
    try {
      count_unpacked(literal);
      return std::make_shared<const Constant>(to_constant(literal, weights_, warn_));
    } catch (const BlobError& error) {
      throw BlobError(place(literal.location) + error.what());
    }
  }

  /// Elements of less than a byte are unpacked, each time that they are named: a text can name one
  /// record as often as it likes.
  void count_unpacked(const Literal& literal) {
    const bool is_unpacked = std::holds_alternative<BlobReference>(literal.payload) &&
                             is_sub_byte(literal.type.dtype) && weights_ != nullptr;
    if (!is_unpacked) return;
    static const std::int64_t most = memory_of_machine();
    // At most kMaxElements: no overflow before the sum is refused.
    unpacked_bytes_ += element_count(literal.type.dims).value_or(0);
    if (unpacked_bytes_ > most) {
      throw BlobError("weights of elements smaller than a byte take more than " +
                      std::to_string(most) + " bytes when unpacked, the memory of this machine");
    }
  }

  void add_constant(const Operation& operation) {
    const Attribute* attribute = operation.find_attribute("val");
    const Argument* argument = operation.find_argument("val");
    if (attribute == nullptr && (argument == nullptr || argument->operands.size() != 1 ||
                                 argument->operands[0].is_name())) {
      fail(operation.location, "needs the attribute 'val'");
    }
    if (operation.outputs.size() != 1) {
      fail(operation.location,
           "has one result, got " + std::to_string(operation.outputs.size()) + " declared");
    }
    const Literal& literal =
        attribute != nullptr ? attribute->value : argument->operands[0].literal();
    const Value& declared = operation.outputs.front();
    Type type = literal.type;
    if (!merge(type, declared.type)) {
      fail(declared.location, "'" + declared.name + "' is declared as " + to_string(declared.type) +
                                  ", but val is " + to_string(literal.type));
    }
    add_value(declared, {.name = {}, .type = std::move(type), .constant = constant_of(literal)});
  }

  std::vector<std::string_view> visible_names() const {
    std::vector<std::string_view> names;
    for (const VerifiedValue& value : result_.values) {
      if (!value.name.empty()) names.push_back(value.name);
    }
    return names;
  }

  bool is_empty(ValueId id) const {
    const Type& type = result_.values[static_cast<std::size_t>(id)].type;
    return type.is_tensor() && std::find(type.dims.begin(), type.dims.end(), 0) != type.dims.end();
  }

  // Converters leave empty constants behind: the dimensions after the last one that is flattened.
  // Nothing but concat, to which they add nothing, may read them.
  ValueId resolve(const Operand& operand, bool may_be_empty = false) {
    const ValueId id = operand.is_name() ? find(operand) : add_literal(operand.literal());
    if (may_be_empty || !is_empty(id)) return id;
    const VerifiedValue& value = result_.values[static_cast<std::size_t>(id)];
    fail(operand.location, (value.name.empty() ? "a literal" : "'" + value.name + "'") +
                               " must have positive dimensions, got " + to_string(value.type));
  }

  ValueId find(const Operand& operand) const {
    const auto found = names_.find(operand.name());
    if (found != names_.end()) return found->second.first;
    for (const Operation& later : function_.body.operations) {
      for (const Value& output : later.outputs) {
        if (output.name != operand.name()) continue;
        const int line = output.location.line;
        fail(operand.location, "'" + operand.name() + "' is used before it is defined" +
                                   (line > 0 ? " on line " + std::to_string(line) : ""));
      }
    }
    fail(operand.location,
         "'" + operand.name() + "' is not defined" + suggestion(operand.name(), visible_names()));
  }

  ValueId add_literal(const Literal& literal) {
    const auto id = static_cast<ValueId>(result_.values.size());
    result_.values.push_back({.name = {}, .type = literal.type, .constant = constant_of(literal)});
    return id;
  }

  const OpRecord& record_of(const Operation& operation) const {
    const OpRecord* record = find_op(operation.type);
    if (record != nullptr) return *record;
    std::vector<std::string_view> names;
    for (const OpRecord* known : all_ops()) names.push_back(known->name);
    const Location& at = operation.location;
    throw UnsupportedOpError(
        place(at) + "no such operation in pyane" + suggestion(operation.type, names),
        operation.type, at.line, at.column);
  }

  const InputSpec& spec_of(const OpRecord& record, const Argument& argument) const {
    const InputSpec* spec = record.find_input(argument.name);
    if (spec != nullptr) return *spec;
    std::vector<std::string_view> names;
    std::string list;
    for (const InputSpec& input : record.inputs) {
      names.push_back(input.name);
      list += (list.empty() ? "" : ", ") + input.name;
    }
    fail(argument.location, "has no argument '" + argument.name + "'" +
                                suggestion(argument.name, names) + " (arguments: " + list + ")");
  }

  // The operation's inputs by name, from arguments and (for some) attributes.
  std::vector<VerifiedInput> bind_inputs(const Operation& operation, const OpRecord& record) {
    std::vector<VerifiedInput> bound;
    const auto add = [&](const InputSpec& spec, const Location& at, std::vector<ValueId> values) {
      const auto is_same = [&](const VerifiedInput& input) { return input.spec == &spec; };
      if (std::any_of(bound.begin(), bound.end(), is_same)) {
        fail(at, "argument '" + spec.name + "' is given twice");
      }
      bound.push_back({&spec, std::move(values)});
    };
    for (const Argument& argument : operation.arguments) {
      const InputSpec& spec = spec_of(record, argument);
      if (argument.operands.size() != 1 && !spec.is_variadic) {
        fail(argument.location, "argument '" + spec.name + "' must be one value, got " +
                                    std::to_string(argument.operands.size()));
      }
      std::vector<ValueId> values;
      for (const Operand& operand : argument.operands) {
        values.push_back(resolve(operand, joins_values(spec, record)));
        check_operand(spec, operand.location,
                      result_.values[static_cast<std::size_t>(values.back())]);
      }
      add(spec, argument.location, std::move(values));
    }
    if (record.inputs_are_attributes) {
      for (const Attribute& attribute : operation.attributes) {
        const InputSpec* spec = record.find_input(attribute.name);
        if (spec == nullptr) continue;
        const ValueId id = add_literal(attribute.value);
        check_operand(*spec, attribute.location, result_.values[static_cast<std::size_t>(id)]);
        add(*spec, attribute.location, {id});
      }
    }
    for (const InputSpec& spec : record.inputs) {
      const auto is_same = [&](const VerifiedInput& input) { return input.spec == &spec; };
      if (spec.is_required && std::none_of(bound.begin(), bound.end(), is_same)) {
        fail(operation.location, "needs the argument '" + spec.name + "'");
      }
    }
    std::sort(bound.begin(), bound.end(), [](const VerifiedInput& a, const VerifiedInput& b) {
      return a.spec < b.spec;  // Entries of one vector: the record's order.
    });
    return bound;
  }

  static bool joins_values(const InputSpec& spec, const OpRecord& record) {
    return record.name == "concat" && spec.name == "values";
  }

  // After their types were checked, what evaluates and what lints need not know of empty values.
  void leave_out_empty_values(VerifiedOperation& verified) const {
    for (VerifiedInput& input : verified.inputs) {
      if (!joins_values(*input.spec, *verified.record)) continue;
      std::erase_if(input.values, [this](ValueId id) { return is_empty(id); });
    }
  }

  static std::string named(const InputSpec& spec, const VerifiedValue& value) {
    return value.name.empty() ? spec.name : spec.name + " ('" + value.name + "')";
  }

  void check_operand(const InputSpec& spec, const Location& at, const VerifiedValue& value) const {
    if (spec.is_any_kind) return;
    if (value.type.kind != spec.kind) {
      fail(at, named(spec, value) + " must be " + kind_name(spec.kind) + ", got " +
                   to_string(value.type));
    }
    const bool has_dtype =
        spec.kind == Type::Kind::kTensor || spec.kind == Type::Kind::kTensorBuffer;
    if (has_dtype && (spec.dtypes >> static_cast<int>(value.type.dtype) & 1U) == 0) {
      fail(at, named(spec, value) + " must be " + dtype_names(spec.dtypes) + ", got " +
                   to_string(value.type));
    }
    if (spec.rank >= 0 && value.type.dims.size() != static_cast<std::size_t>(spec.rank)) {
      fail(at, named(spec, value) + " must be a " + (spec.rank == 0 ? "scalar" : "vector") +
                   ", got " + to_string(value.type));
    }
    if (spec.is_constant && value.constant == nullptr && !value.is_constexpr) {
      fail(at, named(spec, value) + " must be a constant, got a value computed at run time");
    }
  }

  // Inputs of one group share an element type.
  void check_groups(const Operation& operation, const std::vector<VerifiedInput>& inputs) const {
    std::vector<std::pair<const InputSpec*, const VerifiedValue*>> firsts;
    for (const VerifiedInput& input : inputs) {
      if (input.spec->group == 0) continue;
      for (const ValueId id : input.values) {
        const VerifiedValue& value = result_.values[static_cast<std::size_t>(id)];
        const auto first = std::find_if(firsts.begin(), firsts.end(), [&](const auto& entry) {
          return entry.first->group == input.spec->group;
        });
        if (first == firsts.end()) {
          firsts.emplace_back(input.spec, &value);
        } else if (first->second->type.dtype != value.type.dtype) {
          fail(operation.location, named(*first->first, *first->second) + " and " +
                                       named(*input.spec, value) +
                                       " must have the same element type, got " +
                                       std::string(dtype_name(first->second->type.dtype)) +
                                       " and " + std::string(dtype_name(value.type.dtype)));
        }
      }
    }
  }

  VerifiedOperation check_arguments(const Operation& operation) {
    const OpRecord& record = record_of(operation);
    VerifiedOperation verified{.operation = &operation,
                               .record = &record,
                               .inputs = bind_inputs(operation, record),
                               .outputs = {}};
    check_groups(operation, verified.inputs);
    check_opset(operation, record);
    add_blocks(verified);
    return verified;
  }

  // An operation comes from the opset written with it, else from the function's.
  void check_opset(const Operation& operation, const OpRecord& record) const {
    const std::string& given = operation.opset.empty() ? function_.opset : operation.opset;
    const int number = opset_number(given);
    if (number == 0 || number >= opset_number(record.opset)) return;
    fail(operation.location, "belongs to opset " + record.opset + " and later, but " +
                                 (operation.opset.empty() ? "the function is " : "it is written ") +
                                 given);
  }

  // ---- Nested blocks. What they define is not seen behind them.

  void add_blocks(VerifiedOperation& verified) {
    const Operation& operation = *verified.operation;
    const auto wanted = static_cast<std::size_t>(verified.record->n_blocks);
    if (operation.blocks.size() != wanted) {
      fail(operation.location, "has " + std::to_string(wanted) + " blocks, got " +
                                   std::to_string(operation.blocks.size()));
    }
    for (const Block& block : operation.blocks) {
      verified.blocks.push_back(add_block(verified, block));
      operation_ = &operation;
    }
  }

  VerifiedBlock add_block(const VerifiedOperation& outer, const Block& block) {
    const VerifiedInput* given = outer.find_input(outer.record->block_parameters);
    const std::size_t n_given = given == nullptr ? 0 : given->values.size();
    if (block.parameters.size() != n_given) {
      fail(outer.operation->location,
           "block '" + block.name + "' must have " + std::to_string(n_given) + " parameters" +
               (n_given > 0 ? ", one for each of " + outer.record->block_parameters : "") +
               ", got " + std::to_string(block.parameters.size()));
    }
    VerifiedBlock result;
    const std::size_t n_outer_names = scope_.size();
    for (std::size_t i = 0; i < n_given; ++i) {
      const Value& parameter = block.parameters[i];
      Type type = result_.values[static_cast<std::size_t>(given->values[i])].type;
      const std::string of_operand = to_string(type);
      if (!merge(type, parameter.type)) {
        fail(parameter.location, "parameter '" + parameter.name + "' of block '" + block.name +
                                     "' is declared as " + to_string(parameter.type) +
                                     ", but its operand is " + of_operand);
      }
      result.parameters.push_back(
          add_value(parameter, {.name = {}, .type = std::move(type), .constant = nullptr}));
    }
    add_operations(block.operations, result.operations);
    for (const Operand& output : block.outputs) result.outputs.push_back(resolve(output));
    for (; scope_.size() > n_outer_names; scope_.pop_back()) names_.erase(scope_.back());
    return result;
  }

  void add_operations(const std::vector<Operation>& operations,
                      std::vector<VerifiedOperation>& verified) {
    for (const Operation& operation : operations) {
      check_interrupt();
      operation_ = &operation;
      if (operation.type == "const") {
        add_constant(operation);
      } else {
        add_operation(operation, verified);
      }
    }
    operation_ = nullptr;
  }

  // ---- Operations of constants

  // The results of `verified` where they can be known now, else nothing.
  std::vector<std::shared_ptr<const Constant>> fold(const VerifiedOperation& verified,
                                                    const std::vector<Type>& types) const {
    if (!evaluate_ || types.empty() || verified.record->is_impure) return {};
    if (verified.record->is_constexpr) return {};
    if (verified.record->name == "cond") return fold_cond(verified);
    if (!verified.blocks.empty()) return {};
    for (const Type& type : types) {
      if (!type.is_tensor() || type.dtype == DType::kString || dtype_info(type.dtype).bits < 8 ||
          element_count(type.dims).value_or(kMaxFoldedElements + 1) > kMaxFoldedElements) {
        return {};
      }
    }
    for (const VerifiedInput& input : verified.inputs) {
      for (const ValueId id : input.values) {
        const VerifiedValue& value = result_.values[static_cast<std::size_t>(id)];
        const Constant* constant = value.constant.get();
        if (input.spec->is_type_only && element_count(value.type.dims)) continue;
        if (constant == nullptr || constant->is_missing) return {};
      }
    }
    try {
      return evaluate_(result_, verified, types);
    } catch (const UnsupportedOpError&) {
      return {};
    } catch (const CompileError&) {
      return {};  // Who compiles it will say so, if the result is needed.
    } catch (const EvaluateError& error) {
      fail(verified.operation->location, error.what());
    }
  }

  // The constants of the branch that a known predicate chooses.
  std::vector<std::shared_ptr<const Constant>> fold_cond(const VerifiedOperation& verified) const {
    const auto& pred = result_.values[static_cast<std::size_t>(verified.inputs[0].values[0])];
    if (pred.constant == nullptr || pred.constant->is_missing) return {};
    std::vector<std::shared_ptr<const Constant>> constants;
    for (const ValueId id :
         verified.blocks[pred.constant->data[0] != std::byte{0} ? 0 : 1].outputs) {
      const auto& constant = result_.values[static_cast<std::size_t>(id)].constant;
      if (constant == nullptr || constant->is_missing) return {};
      constants.push_back(constant);
    }
    return constants;
  }

  // Inference may multiply dimensions, or take them from arguments.
  std::vector<Type> infer_checked(const VerifiedOperation& verified) const {
    std::vector<Type> types = verified.record->infer(result_.context(verified));
    for (const Type& type : types) {
      bool is_valid = true;
      double count = 1;
      for (const std::int64_t dim : type.dims) {
        if (dim == kUnknownDim) continue;
        is_valid = is_valid && dim >= 1 && dim <= kMaxDimension;
        count *= static_cast<double>(dim);
      }
      if (is_valid && count <= static_cast<double>(kMaxElements) && type.dims.size() <= kMaxRank) {
        continue;
      }
      fail(verified.operation->location,
           "the result must have dimensions in [1, " + std::to_string(kMaxDimension) + "], " +
               std::to_string(kMaxRank) + " of them and " + std::to_string(kMaxElements) +
               " elements at most, got " + to_string(type.dims));
    }
    return types;
  }

  void add_operation(const Operation& operation, std::vector<VerifiedOperation>& operations) {
    VerifiedOperation verified = check_arguments(operation);
    std::vector<Type> types = infer_checked(verified);
    leave_out_empty_values(verified);
    const std::vector<Value>& declared = operation.outputs;
    if (types.size() != declared.size()) {
      fail(operation.location, "has " + std::to_string(types.size()) + " results, got " +
                                   std::to_string(declared.size()) + " declared");
    }
    for (std::size_t i = 0; i < types.size(); ++i) {
      const std::string inferred = to_string(types[i]);
      if (!merge(types[i], declared[i].type)) {
        fail(declared[i].location, "'" + declared[i].name + "' is declared as " +
                                       to_string(declared[i].type) + ", but the result is " +
                                       inferred);
      }
    }
    const auto constants = fold(verified, types);
    const bool is_outermost = &operations == &result_.operations;
    const int index = is_outermost ? static_cast<int>(operations.size()) : -1;
    for (std::size_t i = 0; i < types.size(); ++i) {
      verified.outputs.push_back(
          add_value(declared[i], {.name = {},
                                  .type = std::move(types[i]),
                                  .constant = constants.empty() ? nullptr : constants[i],
                                  .producer = index,
                                  .is_constexpr = verified.record->is_constexpr}));
    }
    operations.push_back(std::move(verified));
  }

  void add_output(const Operand& output) {
    if (!output.is_name()) fail(output.location, "an output must be the name of a value");
    const ValueId id = resolve(output);
    if (std::find(result_.outputs.begin(), result_.outputs.end(), id) != result_.outputs.end()) {
      fail(output.location, "output '" + output.name() + "' is listed twice");
    }
    const Type& type = result_.values[static_cast<std::size_t>(id)].type;
    if (!type.is_tensor() && type.kind != Type::Kind::kTensorBuffer) {
      fail(output.location,
           "output '" + output.name() + "' must be a tensor, got " + to_string(type));
    }
    result_.outputs.push_back(id);
  }

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

}  // namespace

OpContext VerifiedFunction::context(const VerifiedOperation& operation) const {
  OpContext context(*operation.operation, *operation.record, source_name);
  for (const VerifiedInput& input : operation.inputs) {
    OpContext::Bound bound;
    for (const ValueId id : input.values) {
      const VerifiedValue& value = values[static_cast<std::size_t>(id)];
      bound.types.push_back(&value.type);
      bound.constants.push_back(value.constant.get());
    }
    context.bind(input.spec->name, std::move(bound));
  }
  const auto types_of = [&](const std::vector<ValueId>& ids) {
    std::vector<const Type*> types;
    for (const ValueId id : ids) types.push_back(&values[static_cast<std::size_t>(id)].type);
    return types;
  };
  for (const VerifiedBlock& block : operation.blocks) {
    context.add_block(
        {.parameters = types_of(block.parameters), .outputs = types_of(block.outputs)});
  }
  return context;
}

const VerifiedInput* VerifiedOperation::find_input(std::string_view name) const {
  const auto found = std::find_if(inputs.begin(), inputs.end(), [&](const VerifiedInput& input) {
    return input.spec->name == name;
  });
  return found == inputs.end() ? nullptr : &*found;
}

VerifiedFunction verify(const Program& program, const Function& function,
                        const WeightFiles* weights, const EvaluateConstant& evaluate,
                        const WarningSink& warn) {
  return Verifier(program, function, weights, evaluate, warn).run();
}

std::vector<Type> infer_types(const Operation& operation, const std::vector<KnownValue>& values) {
  const Program program;
  const Function function;
  return Verifier(program, function, nullptr, {}).infer(operation, values);
}

}  // namespace pyane::mil
