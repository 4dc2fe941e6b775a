#include "pyane/mil/ops/families.h"

namespace pyane::mil::ops {
namespace {

constexpr char kFamily[] = "recurrent";

// x [S, B, I]; weights [gates * H, I] and [gates * H, H]; states [B, directions * H].
std::vector<Type> infer_recurrent(const OpContext& context, std::int64_t gates,
                                  bool has_cell_state) {
  require_rank(context, "x", 3, 3);
  require_rank(context, "weight_ih", 2, 2);
  require_rank(context, "weight_hh", 2, 2);
  const Shape& x = context.dims("x");
  const Shape& weight_ih = context.dims("weight_ih");
  const Shape& weight_hh = context.dims("weight_hh");
  const std::string direction =
      has_cell_state ? one_of(context, "direction", {"forward", "reverse", "bidirectional"})
                     : one_of(context, "direction", {"forward", "reverse"});
  const std::int64_t hidden = weight_hh[1];
  const std::int64_t rows = multiply(hidden, gates);
  if (!may_equal(weight_hh[0], rows) || !may_equal(weight_ih[0], rows) ||
      !may_equal(weight_ih[1], x[2])) {
    context.fail("weight_ih must be [" + std::to_string(gates) + " H, I] and weight_hh [" +
                 std::to_string(gates) + " H, H] for x [S, B, I], got x " + to_string(x) + ", " +
                 describe(context, "weight_ih", "weight_hh"));
  }
  if (direction == "bidirectional") {
    for (const char* input : {"weight_ih_back", "weight_hh_back"}) {
      if (!context.has(input)) {
        context.fail("direction \"bidirectional\" needs the argument '" + std::string(input) + "'");
      }
    }
  }
  const auto require_vector = [&](const char* input, std::int64_t n) {
    if (context.record().find_input(input) == nullptr || !context.has(input)) return;
    const Shape& dims = context.dims(input);
    if (dims.size() != 1 || !may_equal(dims[0], n)) {
      context.fail(std::string(input) + " must have shape [" + std::to_string(n) + "], got " +
                   to_string(dims));
    }
  };
  for (const char* input : {"bias", "bias_back", "input_bias"}) require_vector(input, rows);
  for (const char* input : {"peephole", "peephole_back"}) {
    require_vector(input, multiply(hidden, 3));
  }
  const std::int64_t width = multiply(hidden, direction == "bidirectional" ? 2 : 1);
  for (const char* input : {"initial_h", "initial_c"}) {
    if (!context.has(input)) continue;
    const Shape& dims = context.dims(input);
    if (dims.size() != 2 || !may_equal(dims[0], x[1]) || !may_equal(dims[1], width)) {
      context.fail(std::string(input) + " must have shape [" + std::to_string(x[1]) + ", " +
                   std::to_string(width) + "], got " + to_string(dims));
    }
  }
  const DType dtype = context.dtype("x");
  const std::int64_t steps = context.boolean("output_sequence") ? x[0] : 1;
  std::vector<Type> results = {Type::tensor(dtype, {steps, x[1], width}),
                               Type::tensor(dtype, {x[1], width})};
  if (has_cell_state) results.push_back(Type::tensor(dtype, {x[1], width}));
  return results;
}

std::vector<Type> infer_lstm(const OpContext& context) { return infer_recurrent(context, 4, true); }
std::vector<Type> infer_gru(const OpContext& context) { return infer_recurrent(context, 3, false); }
std::vector<Type> infer_rnn(const OpContext& context) { return infer_recurrent(context, 1, false); }

InputSpec weight(std::string name) { return constant(std::move(name), kFloats, 'T'); }
InputSpec optional_weight(std::string name) {
  return optional_constant(std::move(name), kFloats, {}, 'T');
}

}  // namespace

void add_recurrent_ops(OpTable& table) {
  const InputSpec x = operand("x", kFloats, 'T');
  const InputSpec initial_h = operand("initial_h", kFloats, 'T');
  const InputSpec direction = optional_constant("direction", kStringOnly, "forward");
  const InputSpec output_sequence = optional_constant("output_sequence", kBoolOnly, false);
  const InputSpec recurrent_activation =
      optional_constant("recurrent_activation", kStringOnly, "sigmoid");
  const InputSpec activation = optional_constant("activation", kStringOnly, "tanh");
  table.push_back(
      {.name = "lstm",
       .opset = "ios15",
       .family = kFamily,
       .inputs = {x, initial_h, operand("initial_c", kFloats, 'T'), weight("weight_ih"),
                  weight("weight_hh"), optional_weight("bias"), optional_weight("peephole"),
                  optional_weight("weight_ih_back"), optional_weight("weight_hh_back"),
                  optional_weight("bias_back"), optional_weight("peephole_back"), direction,
                  output_sequence, recurrent_activation,
                  optional_constant("cell_activation", kStringOnly, "tanh"), activation,
                  optional_weight("clip")},
       .infer = infer_lstm,
       .returns_tuple = true});
  table.push_back(
      {.name = "gru",
       .opset = "ios15",
       .family = kFamily,
       .inputs = {x, initial_h, weight("weight_ih"), weight("weight_hh"), optional_weight("bias"),
                  direction, output_sequence, recurrent_activation, activation,
                  optional_constant("reset_after", kBoolOnly, false),
                  optional_weight("input_bias")},
       .infer = infer_gru,
       .returns_tuple = true});
  table.push_back({.name = "rnn",
                   .opset = "ios15",
                   .family = kFamily,
                   .inputs = {x, initial_h, weight("weight_ih"), weight("weight_hh"),
                              optional_weight("bias"), direction, output_sequence, activation},
                   .infer = infer_rnn,
                   .returns_tuple = true});
}

}  // namespace pyane::mil::ops
