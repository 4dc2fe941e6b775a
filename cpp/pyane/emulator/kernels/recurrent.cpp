#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "pyane/emulator/kernels/elements.h"
#include "pyane/emulator/kernels/gemm.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/tile.h"

// lstm, gru and rnn. One operation: gates, cells and hidden states stay fp32 from the first step to
// the last, the results are rounded once. Formulas and the order of the gates (i, f, o, z and
// r, o, z) are those of coremltools' definitions.

namespace pyane::emulator {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// An activation by its name in MIL; works in place on any number of values.
class Activation {
 public:
  Activation(const mil::OpContext& op, const char* input) {
    std::string name = op.string(input);
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    // Parameters of the two with some: coremltools' defaults of the activations of that name.
    static constexpr struct {
      const char* name;
      TileOp op;
      std::array<float, 2> parameters;
    } kKnown[] = {{"hard_sigmoid", TileOp::kSigmoidHard, {0.2F, 0.5F}},
                  {"linear", TileOp::kIdentity, {}},
                  {"relu", TileOp::kRelu, {}},
                  {"scaled_tanh", TileOp::kScaledTanh, {1.7159F, 2.0F / 3.0F}},
                  {"sigmoid", TileOp::kSigmoid, {}},
                  {"sigmoid_hard", TileOp::kSigmoidHard, {0.2F, 0.5F}},
                  {"tanh", TileOp::kTanh, {}}};
    for (const auto& known : kKnown) {
      if (name != known.name) continue;
      function_ = tile_table().functions[static_cast<std::size_t>(known.op)];
      parameters_ = known.parameters;
      return;
    }
    op.fail(std::string(input) + " must be one of hard_sigmoid, linear, relu, scaled_tanh, " +
            "sigmoid, tanh, got \"" + name + "\"");
  }

  void operator()(float* values, std::int64_t n) const {
    alignas(64) float in[kTileElements];
    alignas(64) float out[kTileElements];
    for (std::int64_t begin = 0; begin < n; begin += static_cast<std::int64_t>(kTileElements)) {
      const std::size_t count = std::min(at(n - begin), kTileElements);
      std::copy_n(values + begin, count, in);
      function_({.out = out, .in = {in, in, in}, .n = count, .parameters = parameters_.data()});
      std::copy_n(out, count, values + begin);
    }
  }

 private:
  TileFunction function_ = nullptr;
  std::array<float, 2> parameters_{};
};

/// Sizes of a sequence: x [S, B, I], H hidden.
struct Sizes {
  std::int64_t steps;
  std::int64_t batch;
  std::int64_t inputs;
  std::int64_t hidden;
};

/// What one direction adds up at a step, in fp32.
struct StepMemory {
  float* x;      ///< [B, gates * H]: W x + b. Overwritten.
  float* h;      ///< [B, gates * H]: R h.
  float* cell;   ///< [B, H], lstm only.
  float* state;  ///< [B, H]: h, read and replaced.
};

/// One of the three cells: the part of a step behind the matrix products.
class Cell {
 public:
  virtual ~Cell() = default;
  virtual std::int64_t gates() const = 0;
  virtual bool has_cell_state() const { return false; }
  virtual void advance(const StepMemory& memory, const Sizes& sizes) const = 0;
};

class RnnCell final : public Cell {
 public:
  explicit RnnCell(const mil::OpContext& op) : activation_(op, "activation") {}
  std::int64_t gates() const override { return 1; }
  void advance(const StepMemory& memory, const Sizes& sizes) const override {
    const std::int64_t n = sizes.batch * sizes.hidden;
    for (std::int64_t i = 0; i < n; ++i) memory.x[i] += memory.h[i];
    activation_(memory.x, n);
    std::copy_n(memory.x, n, memory.state);
  }

 private:
  Activation activation_;
};

/// r, z = act_r(W x + R h + b); o = act(W x + b + r * (R h)), with reset_after: act(W x +
/// input_bias
/// + r * (R h + b)); h = (1 - z) * o + z * h.
class GruCell final : public Cell {
 public:
  GruCell(const mil::OpContext& op, std::vector<float> inner_bias)
      : gate_(op, "recurrent_activation"),
        output_(op, "activation"),
        inner_bias_(std::move(inner_bias)) {}
  std::int64_t gates() const override { return 3; }
  void advance(const StepMemory& memory, const Sizes& sizes) const override {
    const std::int64_t n = sizes.hidden;
    for (std::int64_t b = 0; b < sizes.batch; ++b) {
      float* x = memory.x + b * 3 * n;
      float* h = memory.h + b * 3 * n;
      float* state = memory.state + b * n;
      if (!inner_bias_.empty()) {
        for (std::int64_t i = 0; i < 3 * n; ++i) h[i] += inner_bias_[at(i)];
      }
      for (std::int64_t i = 0; i < n; ++i) {
        x[i] += h[i];                  // r
        x[2 * n + i] += h[2 * n + i];  // z
      }
      gate_(x, n);
      gate_(x + 2 * n, n);
      for (std::int64_t i = 0; i < n; ++i) x[n + i] += x[i] * h[n + i];
      output_(x + n, n);
      for (std::int64_t i = 0; i < n; ++i) {
        const float z = x[2 * n + i];
        state[i] = (1.0F - z) * x[n + i] + z * state[i];
      }
    }
  }

 private:
  Activation gate_;
  Activation output_;
  std::vector<float> inner_bias_;  ///< [3 H], of R h; empty without reset_after.
};

/// i, f, o = act_r(W x + R h + b + peephole * c), z = act_c(clip(W x + R h + b)); c = f c + i z;
/// h = o * act(c). The peephole of o looks at the new c.
class LstmCell final : public Cell {
 public:
  LstmCell(const mil::OpContext& op, std::vector<float> peephole)
      : gate_(op, "recurrent_activation"),
        cell_(op, "cell_activation"),
        output_(op, "activation"),
        peephole_(std::move(peephole)),
        clip_(op.has("clip") ? static_cast<float>(op.real("clip")) : INFINITY) {}
  std::int64_t gates() const override { return 4; }
  bool has_cell_state() const override { return true; }
  void advance(const StepMemory& memory, const Sizes& sizes) const override {
    const std::int64_t n = sizes.hidden;
    const auto peep = [&](float* gate, std::int64_t which, const float* c) {
      if (peephole_.empty()) return;
      for (std::int64_t i = 0; i < n; ++i) gate[i] += peephole_[at(which * n + i)] * c[i];
    };
    for (std::int64_t b = 0; b < sizes.batch; ++b) {
      float* x = memory.x + b * 4 * n;
      const float* h = memory.h + b * 4 * n;
      float* c = memory.cell + b * n;
      float* state = memory.state + b * n;
      for (std::int64_t i = 0; i < 4 * n; ++i) x[i] += h[i];
      float* z = x + 3 * n;
      peep(x, 0, c);
      peep(x + n, 1, c);
      gate_(x, 2 * n);
      if (std::isfinite(clip_)) {
        for (std::int64_t i = 0; i < n; ++i) z[i] = std::clamp(z[i], -clip_, clip_);
      }
      cell_(z, n);
      for (std::int64_t i = 0; i < n; ++i) c[i] = x[n + i] * c[i] + x[i] * z[i];
      peep(x + 2 * n, 2, c);
      gate_(x + 2 * n, n);
      std::copy_n(c, n, state);
      output_(state, n);
      for (std::int64_t i = 0; i < n; ++i) state[i] *= x[2 * n + i];
    }
  }

 private:
  Activation gate_;
  Activation cell_;
  Activation output_;
  std::vector<float> peephole_;
  float clip_;
};

/// One way through the sequence: its products and its cell.
struct Direction {
  std::unique_ptr<Cell> cell;
  Gemm of_inputs;  ///< [S * B, I] x [I, gates * H] + bias, all steps at once.
  Gemm of_state;   ///< [B, H] x [H, gates * H]
  std::vector<float> bias;
  std::array<std::size_t, 2> weights;  ///< Operand numbers, for what is not packed.
  std::array<bool, 2> is_packed;
  bool is_reversed;
};

Gemm product(std::int64_t m, std::int64_t n, std::int64_t k, DType a, DType b, bool has_bias) {
  GemmSpec spec{{.m = m, .n = n, .k = k}};
  spec.a = {.dtype = a, .row_stride = k, .col_stride = 1};
  spec.b = {.dtype = b, .row_stride = 1, .col_stride = k};  // Stored [n, k].
  spec.c = {.dtype = DType::kFp32, .row_stride = n, .col_stride = 1};
  if (has_bias) {
    spec.bias = GemmBias::kPerColumn;
    spec.bias_dtype = DType::kFp32;
  }
  return Gemm(std::move(spec));
}

Direction make_direction(const PrepareContext& context, const Sizes& sizes,
                         std::unique_ptr<Cell> cell, std::array<std::size_t, 2> weights,
                         std::vector<float> bias, bool is_reversed) {
  const std::int64_t width = cell->gates() * sizes.hidden;
  const DType dtype = context.inputs[0].dtype;
  Direction direction{
      .cell = std::move(cell),
      .of_inputs =
          product(sizes.steps * sizes.batch, width, sizes.inputs, dtype, dtype, !bias.empty()),
      .of_state = product(sizes.batch, width, sizes.hidden, DType::kFp32, dtype, false),
      .bias = std::move(bias),
      .weights = weights,
      .is_packed = {},
      .is_reversed = is_reversed};
  direction.is_packed = {direction.of_inputs.pack_b(context.inputs[weights[0]].data),
                         direction.of_state.pack_b(context.inputs[weights[1]].data)};
  return direction;
}

class Recurrent final : public Step {
 public:
  Recurrent(const PrepareContext& context, const Sizes& sizes, std::vector<Direction> directions)
      : sizes_(sizes),
        dtype_(context.inputs[0].dtype),
        has_sequence_(context.op.boolean("output_sequence")),
        directions_(std::move(directions)) {}

  std::size_t scratch_bytes() const override {
    std::size_t products = 0;
    for (const Direction& direction : directions_) {
      products = std::max(
          {products, direction.of_inputs.scratch_bytes(), direction.of_state.scratch_bytes()});
    }
    return products + sizeof(float) * at(memory_floats());
  }

  bool reads_input(std::size_t i) const override {
    for (const Direction& direction : directions_) {
      for (std::size_t k = 0; k < 2; ++k) {
        if (direction.weights[k] == i) return !direction.is_packed[k];
      }
    }
    return i <= 1 || (i == 2 && directions_[0].cell->has_cell_state());
  }

  void run(const StepArguments& arguments) const override {
    for (std::size_t d = 0; d < directions_.size(); ++d) run_direction(arguments, d);
  }

 private:
  std::int64_t state_floats() const { return padded(sizes_.batch * sizes_.hidden); }
  std::int64_t gate_floats() const {
    return padded(sizes_.batch * sizes_.hidden * directions_[0].cell->gates());
  }
  std::int64_t memory_floats() const {
    return padded(sizes_.steps * sizes_.batch * sizes_.hidden * directions_[0].cell->gates()) +
           gate_floats() + 2 * state_floats();
  }
  static std::int64_t padded(std::int64_t n) { return (n + 15) / 16 * 16; }

  /// Rows [B, H] of this direction in a tensor whose rows hold all directions.
  void load(const TensorView& source, std::size_t direction, float* state) const {
    const auto all = static_cast<std::int64_t>(directions_.size()) * sizes_.hidden;
    const auto bytes = static_cast<std::int64_t>(dtype_size(dtype_));
    for (std::int64_t b = 0; b < sizes_.batch; ++b) {
      const std::int64_t offset = b * all + static_cast<std::int64_t>(direction) * sizes_.hidden;
      load_floats(dtype_, source.data + offset * bytes, state + b * sizes_.hidden,
                  at(sizes_.hidden));
    }
  }
  void store(const float* state, std::size_t direction, const TensorView& target,
             std::int64_t step) const {
    const auto all = static_cast<std::int64_t>(directions_.size()) * sizes_.hidden;
    const auto bytes = static_cast<std::int64_t>(dtype_size(dtype_));
    for (std::int64_t b = 0; b < sizes_.batch; ++b) {
      const std::int64_t offset =
          (step * sizes_.batch + b) * all + static_cast<std::int64_t>(direction) * sizes_.hidden;
      store_floats(dtype_, state + b * sizes_.hidden, target.data + offset * bytes,
                   at(sizes_.hidden));
    }
  }

  void run_direction(const StepArguments& arguments, std::size_t d) const {
    const Direction& direction = directions_[d];
    const std::int64_t gates = sizes_.batch * sizes_.hidden * direction.cell->gates();
    auto* of_inputs = reinterpret_cast<float*>(arguments.scratch);
    float* of_state = of_inputs + padded(sizes_.steps * gates);
    float* state = of_state + gate_floats();
    float* cell = state + state_floats();
    auto* scratch = reinterpret_cast<std::byte*>(cell + state_floats());

    load(arguments.inputs[1], d, state);
    if (direction.cell->has_cell_state()) load(arguments.inputs[2], d, cell);
    direction.of_inputs.run(arguments.inputs[0].data, arguments.inputs[direction.weights[0]].data,
                            direction.bias.data(), of_inputs, scratch);
    for (std::int64_t i = 0; i < sizes_.steps; ++i) {
      const std::int64_t step = direction.is_reversed ? sizes_.steps - 1 - i : i;
      direction.of_state.run(state, arguments.inputs[direction.weights[1]].data, nullptr, of_state,
                             scratch);
      direction.cell->advance(
          {.x = of_inputs + step * gates, .h = of_state, .cell = cell, .state = state}, sizes_);
      if (has_sequence_) store(state, d, arguments.outputs[0], step);
    }
    if (!has_sequence_) store(state, d, arguments.outputs[0], 0);
    store(state, d, arguments.outputs[1], 0);
    if (direction.cell->has_cell_state()) store(cell, d, arguments.outputs[2], 0);
  }

  Sizes sizes_;
  DType dtype_;
  bool has_sequence_;
  std::vector<Direction> directions_;
};

Sizes sizes_of(const PrepareContext& context, std::size_t weight_hh) {
  const TensorLayout& x = context.inputs[0];
  return {.steps = x.dim(0),
          .batch = x.dim(1),
          .inputs = x.dim(2),
          .hidden = context.inputs[weight_hh].dim(1)};
}

bool is_reversed(const PrepareContext& context) {
  return context.op.string("direction") == "reverse";
}

std::unique_ptr<Step> prepare_lstm(const PrepareContext& context) {
  const Sizes sizes = sizes_of(context, 4);
  std::vector<Direction> directions;
  // Operands: x, initial_h, initial_c, then weight_ih, weight_hh, bias, peephole and those of the
  // way back.
  const auto add = [&](std::size_t first, bool backwards) {
    directions.push_back(make_direction(
        context, sizes,
        std::make_unique<LstmCell>(context.op, constant_floats(context.inputs[first + 3])),
        {first, first + 1}, constant_floats(context.inputs[first + 2]), backwards));
  };
  add(3, is_reversed(context));
  if (context.op.string("direction") == "bidirectional") add(7, true);
  return std::make_unique<Recurrent>(context, sizes, std::move(directions));
}

std::unique_ptr<Step> prepare_gru(const PrepareContext& context) {
  const Sizes sizes = sizes_of(context, 3);
  std::vector<float> bias = constant_floats(context.inputs[4]);
  std::vector<float> inner;
  if (context.op.boolean("reset_after")) {
    inner = std::move(bias);
    bias = constant_floats(context.inputs[5]);
  } else if (const std::vector<float> input_bias = constant_floats(context.inputs[5]);
             !input_bias.empty()) {
    bias.resize(input_bias.size(), 0.0F);
    for (std::size_t i = 0; i < bias.size(); ++i) bias[i] += input_bias[i];
  }
  std::vector<Direction> directions;
  directions.push_back(make_direction(context, sizes,
                                      std::make_unique<GruCell>(context.op, std::move(inner)),
                                      {2, 3}, std::move(bias), is_reversed(context)));
  return std::make_unique<Recurrent>(context, sizes, std::move(directions));
}

std::unique_ptr<Step> prepare_rnn(const PrepareContext& context) {
  const Sizes sizes = sizes_of(context, 3);
  std::vector<Direction> directions;
  directions.push_back(make_direction(context, sizes, std::make_unique<RnnCell>(context.op), {2, 3},
                                      constant_floats(context.inputs[4]), is_reversed(context)));
  return std::make_unique<Recurrent>(context, sizes, std::move(directions));
}

}  // namespace

std::span<const KernelRecord> recurrent_kernels() {
  static const std::vector<KernelRecord> records = {
      {.op = "gru",
       .operands = {"x", "initial_h", "weight_ih", "weight_hh", "bias", "input_bias"},
       .prepare = prepare_gru},
      {.op = "lstm",
       .operands = {"x", "initial_h", "initial_c", "weight_ih", "weight_hh", "bias", "peephole",
                    "weight_ih_back", "weight_hh_back", "bias_back", "peephole_back"},
       .prepare = prepare_lstm},
      {.op = "rnn",
       .operands = {"x", "initial_h", "weight_ih", "weight_hh", "bias"},
       .prepare = prepare_rnn},
  };
  return records;
}

}  // namespace pyane::emulator
