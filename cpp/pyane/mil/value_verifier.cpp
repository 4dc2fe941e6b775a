#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "pyane/base/cpu.h"
#include "pyane/base/error.h"
#include "pyane/mil/sub_byte.h"
#include "pyane/mil/suggest.h"
#include "pyane/mil/verifier_state.h"

namespace pyane::mil {

ValueId Verifier::add_value(const Value& declared, VerifiedValue value) {
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

std::vector<std::string_view> Verifier::visible_names() const {
  std::vector<std::string_view> names;
  for (const VerifiedValue& value : result_.values) {
    if (!value.name.empty()) names.push_back(value.name);
  }
  return names;
}

ValueId Verifier::find(const Operand& operand) const {
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

// Converters leave empty constants behind: the dimensions after the last one that is flattened.
// Nothing but concat, to which they add nothing, may read them.
ValueId Verifier::resolve(const Operand& operand, bool may_be_empty) {
  const ValueId id = operand.is_name() ? find(operand) : add_literal(operand.literal());
  if (may_be_empty || !is_empty(id)) return id;
  const VerifiedValue& value = result_.values[static_cast<std::size_t>(id)];
  fail(operand.location, (value.name.empty() ? "a literal" : "'" + value.name + "'") +
                             " must have positive dimensions, got " + to_string(value.type));
}

bool Verifier::is_empty(ValueId id) const {
  const Type& type = result_.values[static_cast<std::size_t>(id)].type;
  return type.is_tensor() && std::find(type.dims.begin(), type.dims.end(), 0) != type.dims.end();
}

ValueId Verifier::add_literal(const Literal& literal) {
  const auto id = static_cast<ValueId>(result_.values.size());
  result_.values.push_back({.name = {}, .type = literal.type, .constant = constant_of(literal)});
  return id;
}

std::shared_ptr<const Constant> Verifier::constant_of(const Literal& literal) {
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
void Verifier::count_unpacked(const Literal& literal) {
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

void Verifier::add_constant(const Operation& operation) {
  const Attribute* attribute = operation.find_attribute("val");
  const Argument* argument = operation.find_argument("val");
  if (attribute == nullptr &&
      (argument == nullptr || argument->operands.size() != 1 || argument->operands[0].is_name())) {
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

}  // namespace pyane::mil
