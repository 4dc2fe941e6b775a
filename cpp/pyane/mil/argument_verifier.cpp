#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pyane/base/error.h"
#include "pyane/mil/suggest.h"
#include "pyane/mil/verifier_state.h"

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

}  // namespace

const OpRecord& Verifier::record_of(const Operation& operation) const {
  const OpRecord* record = find_op(operation.type);
  if (record != nullptr) return *record;
  std::vector<std::string_view> names;
  for (const OpRecord* known : all_ops()) names.push_back(known->name);
  const Location& at = operation.location;
  throw UnsupportedOpError(
      place(at) + "no such operation in pyane" + suggestion(operation.type, names), operation.type,
      at.line, at.column);
}

const InputSpec& Verifier::spec_of(const OpRecord& record, const Argument& argument) const {
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

bool Verifier::joins_values(const InputSpec& spec, const OpRecord& record) {
  return record.name == "concat" && spec.name == "values";
}

std::string Verifier::named(const InputSpec& spec, const VerifiedValue& value) {
  return value.name.empty() ? spec.name : spec.name + " ('" + value.name + "')";
}

// The operation's inputs by name, from arguments and (for some) attributes.
std::vector<VerifiedInput> Verifier::bind_inputs(const Operation& operation,
                                                 const OpRecord& record) {
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

// After their types were checked, what evaluates and what lints need not know of empty values.
void Verifier::leave_out_empty_values(VerifiedOperation& verified) const {
  for (VerifiedInput& input : verified.inputs) {
    if (!joins_values(*input.spec, *verified.record)) continue;
    std::erase_if(input.values, [this](ValueId id) { return is_empty(id); });
  }
}

void Verifier::check_operand(const InputSpec& spec, const Location& at,
                             const VerifiedValue& value) const {
  if (spec.is_any_kind) return;
  if (value.type.kind != spec.kind) {
    fail(at, named(spec, value) + " must be " + kind_name(spec.kind) + ", got " +
                 to_string(value.type));
  }
  const bool has_dtype = spec.kind == Type::Kind::kTensor || spec.kind == Type::Kind::kTensorBuffer;
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
void Verifier::check_groups(const Operation& operation,
                            const std::vector<VerifiedInput>& inputs) const {
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
                                     std::string(dtype_name(first->second->type.dtype)) + " and " +
                                     std::string(dtype_name(value.type.dtype)));
      }
    }
  }
}

// An operation comes from the opset written with it, else from the function's.
void Verifier::check_opset(const Operation& operation, const OpRecord& record) const {
  const std::string& given = operation.opset.empty() ? function_.opset : operation.opset;
  const int number = opset_number(given);
  if (number == 0 || number >= opset_number(record.opset)) return;
  fail(operation.location, "belongs to opset " + record.opset + " and later, but " +
                               (operation.opset.empty() ? "the function is " : "it is written ") +
                               given);
}

VerifiedOperation Verifier::check_arguments(const Operation& operation) {
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

}  // namespace pyane::mil
