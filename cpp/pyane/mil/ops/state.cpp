#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "state";

const Type& held(const OpContext& context, const char* input) {
  return context.type(input).elements.at(0);
}

void require_held(const OpContext& context, const char* state, const char* value) {
  if (!same_type(held(context, state), context.type(value))) {
    context.fail(std::string(value) + " must have the type held by the state, " +
                 to_string(held(context, state)) + ", got " + to_string(context.type(value)));
  }
}

std::vector<Type> infer_read_state(const OpContext& context) { return {held(context, "input")}; }

std::vector<Type> infer_write_state(const OpContext& context) {
  require_held(context, "input", "data");
  return {};
}

std::vector<Type> infer_update_state(const OpContext& context) {
  require_held(context, "state", "value");
  return {held(context, "state")};
}

InputSpec state(std::string name) {
  InputSpec spec = operand(std::move(name), ~DTypeSet{0});
  spec.kind = Type::Kind::kState;
  return spec;
}

}  // namespace

void add_state_ops(OpTable& table) {
  table.push_back({.name = "read_state",
                   .opset = "ios18",
                   .family = kFamily,
                   .inputs = {state("input")},
                   .infer = infer_read_state,
                   .is_impure = true});
  table.push_back({.name = "write_state",
                   .opset = "ios18",
                   .family = kFamily,
                   .inputs = {state("input"), operand("data", kMovable)},
                   .infer = infer_write_state,
                   .returns_tuple = true,
                   .is_impure = true});
  // coremltools' spelling of write_state followed by read_state.
  table.push_back({.name = "coreml_update_state",
                   .opset = "ios18",
                   .family = kFamily,
                   .inputs = {state("state"), operand("value", kMovable)},
                   .infer = infer_update_state,
                   .is_impure = true});
}

}  // namespace pyane::mil::ops
