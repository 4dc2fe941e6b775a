#include "pyane/emulator/kernels/fused_program.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

namespace pyane::emulator {
namespace {

constexpr std::size_t kNone = FusedProgram::kNone;
/// A cache line: registers begin at one, and are one more apart than they are long, as tiles of
/// 4 KiB right behind each other would share the sets of the first-level cache.
constexpr std::size_t kPadding = 64;

std::size_t at(TileOp op) { return static_cast<std::size_t>(op); }

TileOp wrap_op(DType dtype) {
  switch (dtype) {
    case DType::kInt8:
      return TileOp::kWrapInt8;
    case DType::kUint8:
      return TileOp::kWrapUint8;
    case DType::kInt16:
      return TileOp::kWrapInt16;
    case DType::kUint16:
      return TileOp::kWrapUint16;
    default:
      return TileOp::kCount;
  }
}

class Compiler {
 public:
  Compiler(const FusedChain& chain, const Tiling& tiling)
      : chain_(chain), tiling_(tiling), table_(tile_table()), values_(n_inputs() + n_operations()) {
    find_stages();
    find_last_uses();
  }

  FusedProgram run() {
    reserve_lanes();
    for (std::size_t i = 0; i < n_inputs(); ++i) {
      if (!tiling_.is_uniform(i)) continue;
      values_[i].is_uniform = true;
      values_[i].tile = values_[i].reduced = permanent(values_[i], tile_count());
      program_.uniforms.push_back({i, values_[i].tile, chain_.inputs[i].dtype});
    }
    for (std::size_t stage = 0; stage < program_.stages.size(); ++stage) {
      begin(stage);
      for (const bool on_tiles : {true, false}) {
        for (std::size_t i = 0; i < n_operations(); ++i) {
          if (values_[n_inputs() + i].stage != stage || reads_tiles(i) != on_tiles) continue;
          emit(i);
          if (on_tiles) release_after(i, stage);
        }
      }
      store(stage);
    }
    program_.staging = room(tile_count() * 8 + kPadding);
    program_.n_bytes = next_offset_;
    return std::move(program_);
  }

 private:
  struct Value {
    bool is_half = false;
    bool is_uniform = false;
    bool is_reduced = false;  ///< Or does not vary along the axis.
    std::size_t stage = 0;    ///< At whose end (reduced) or in which it is made.
    std::size_t last_stage = 0;
    std::size_t last_operation = 0;  ///< Of the last stage, that reads its tile.
    bool is_output = false;
    std::size_t tile = kNone;  ///< Registers.
    std::size_t load = kNone;
    std::size_t reduced = kNone;
    std::size_t wide = kNone;  ///< The tile in fp32, while the stage lasts.
  };

  std::size_t n_inputs() const { return chain_.inputs.size(); }
  std::size_t n_operations() const { return chain_.operations.size(); }
  std::size_t tile_count() const {
    return std::max(tiling_.tile_elements(), tiling_.block_positions());
  }

  /// Or what has been reduced already.
  bool reads_tiles(std::size_t i) const {
    const FusedOperation& operation = chain_.operations[i];
    return !operation.is_reduced || operation.reduction != ChainReduction::kNone;
  }

  // ---- What is made when

  /// Stage 0 is what comes before the first tile.
  void find_stages() {
    std::size_t last = 1;
    for (std::size_t i = 0; i < n_inputs(); ++i) {
      values_[i].is_half = chain_.inputs[i].dtype == DType::kFp16;
      values_[i].is_reduced = chain_.axis >= 0 && !tiling_.varies_along_axis(i);
    }
    for (std::size_t i = 0; i < n_operations(); ++i) {
      const FusedOperation& operation = chain_.operations[i];
      Value& value = values_[n_inputs() + i];
      value.is_half = operation.dtype == DType::kFp16;
      value.is_reduced = operation.is_reduced;
      value.stage = reads_tiles(i) ? 1 : 0;
      for (const std::size_t operand : operation.operands) {
        const Value& read = values_[operand];
        const std::size_t ready = read.is_reduced && reads_tiles(i) ? read.stage + 1 : read.stage;
        value.stage = std::max(value.stage, ready);
      }
      last = std::max(last, value.stage);
    }
    program_.stages.resize(last + 1);
  }

  void find_last_uses() {
    for (std::size_t i = 0; i < n_operations(); ++i) {
      const FusedOperation& operation = chain_.operations[i];
      const std::size_t stage = values_[n_inputs() + i].stage;
      for (const std::size_t operand : operation.operands) {
        Value& value = values_[operand];
        if (stage > value.last_stage) value.last_operation = 0;
        value.last_stage = std::max(value.last_stage, stage);
        if (stage == value.last_stage) value.last_operation = std::max(value.last_operation, i);
      }
    }
    // Stores come at the end of the stage that makes the value.
    for (const std::size_t output : chain_.outputs) {
      Value& value = values_[output];
      value.is_output = true;
      value.last_stage = std::max(value.last_stage, value.stage);
      if (value.last_stage == value.stage) value.last_operation = n_operations();
    }
  }

  // ---- Memory

  std::size_t room(std::size_t n_bytes) {
    const std::size_t offset = next_offset_;
    next_offset_ += (n_bytes + kPadding - 1) / kPadding * kPadding;
    return offset;
  }

  void reserve_lanes() {
    program_.lane_bytes = kSumLanes * tiling_.block_positions() * sizeof(float);
    for (const FusedOperation& operation : chain_.operations) {
      if (operation.reduction == ChainReduction::kNone) continue;
      room(program_.lane_bytes);
      ++program_.n_lanes;
    }
  }

  std::size_t add_register(std::size_t offset, std::size_t stride = 0) {
    program_.registers.push_back({offset, stride});
    if (stride != 0) program_.moving.push_back(program_.registers.size() - 1);
    return program_.registers.size() - 1;
  }

  static std::size_t element_bytes(const Value& value) { return value.is_half ? 2 : 4; }

  std::size_t permanent(const Value& value, std::size_t n) {
    return add_register(room(n * element_bytes(value) + kPadding));
  }

  std::size_t take(bool is_half) {
    auto& free = free_[is_half ? 0 : 1];
    if (free.empty()) return add_register(room(tile_count() * (is_half ? 2 : 4) + kPadding));
    const std::size_t reg = free.back();
    free.pop_back();
    return reg;
  }

  /// Where a tile of a value that is made now goes.
  std::size_t target(Value& value) {
    const bool is_kept = value.last_stage > value.stage;
    if (!is_kept || tiling_.block_tiles() == 1) {
      // That of an output may point into the tensor itself.
      value.tile = value.is_output ? permanent(value, tile_count()) : take(value.is_half);
    } else {
      const std::size_t bytes = tile_count() * element_bytes(value);
      value.tile = add_register(room(bytes * tiling_.block_tiles() + kPadding), bytes);
    }
    return value.tile;
  }

  /// Frees the tiles that operation `i` was the last one to read.
  void release_after(std::size_t i, std::size_t stage) {
    for (Value& value : values_) {
      const bool is_last = value.last_stage == stage && value.last_operation == i;
      if (!is_last || value.is_uniform || value.is_reduced) continue;
      const bool is_lent = value.tile != kNone && value.load == kNone && !value.is_output &&
                           program_.registers[value.tile].stride == 0;
      if (is_lent) {
        free_[value.is_half ? 0 : 1].push_back(value.tile);
        value.tile = kNone;
      }
      if (value.wide != kNone) {
        free_[1].push_back(value.wide);
        value.wide = kNone;
      }
    }
  }

  // ---- Operands

  FusedProgram::Stage& now() { return program_.stages[stage_]; }

  void begin(std::size_t stage) {
    stage_ = stage;
    for (std::size_t i = 0; i < values_.size(); ++i) {
      Value& value = values_[i];
      // What the last stage loaded or widened is that of its last tile.
      if (value.wide != kNone) {
        free_[1].push_back(value.wide);
        value.wide = kNone;
      }
      if (i < n_inputs() && !value.is_reduced && !value.is_uniform) value.tile = kNone;
    }
  }

  /// The register that holds a tile of value `index`.
  std::size_t tile_of(std::size_t index) {
    Value& value = values_[index];
    if (value.tile != kNone) return value.tile;
    if (value.is_reduced) {
      const std::size_t from = reduced_of(index);
      value.tile = permanent(value, tile_count());
      program_.stages[value.stage].spreads.push_back({from, value.tile, element_bytes(value)});
      return value.tile;
    }
    // A register of its own, which may point into the tensor itself.
    if (value.load == kNone) value.load = permanent(value, tile_count());
    value.tile = value.load;
    now().loads.push_back({index, value.tile, chain_.inputs[index].dtype});
    return value.tile;
  }

  /// The register with one element per position.
  std::size_t reduced_of(std::size_t index) {
    Value& value = values_[index];
    if (value.reduced == kNone) {  // An input.
      value.reduced = permanent(value, tiling_.block_positions());
      program_.stages[0].reduced_loads.push_back(
          {index, value.reduced, chain_.inputs[index].dtype});
    }
    return value.reduced;
  }

  std::size_t operand(std::size_t index, bool is_reduced) {
    return is_reduced ? reduced_of(index) : tile_of(index);
  }

  /// The operand with 4-byte elements.
  std::size_t wide_operand(std::size_t index, bool is_reduced,
                           std::vector<FusedProgram::Instruction>& code) {
    Value& value = values_[index];
    const std::size_t reg = operand(index, is_reduced);
    if (!value.is_half) return reg;
    const bool is_lasting = is_reduced || value.is_reduced || value.is_uniform;
    if (is_lasting) {
      // Widened where it is needed: another stage may need it first.
      const std::size_t n = is_reduced ? tiling_.block_positions() : tile_count();
      const std::size_t wide = add_register(room(n * 4 + kPadding));
      code.push_back({.function = table_.widen, .out = wide, .in = {reg}});
      return wide;
    }
    if (value.wide == kNone) {
      value.wide = take(false);
      code.push_back({.function = table_.widen, .out = value.wide, .in = {reg}});
    }
    return value.wide;
  }

  // ---- Operations

  void emit(std::size_t i) {
    const FusedOperation& operation = chain_.operations[i];
    Value& value = values_[n_inputs() + i];
    if (!operation.is_reduced) {
      return emit_elementwise(operation, value, false, now().instructions);
    }
    if (operation.reduction == ChainReduction::kNone) {
      value.reduced = permanent(value, tiling_.block_positions());
      return emit_elementwise(operation, value, true, now().reduced_instructions);
    }
    const std::size_t source = operation.operands[0];
    const bool is_half = values_[source].is_half;
    const bool is_max = operation.reduction == ChainReduction::kMax;
    const std::size_t lanes = n_lane_sets_++ * program_.lane_bytes;
    FusedProgram::Instruction instruction;
    instruction.in[0] = tile_of(source);
    instruction.accumulate = is_max ? (is_half ? table_.max_halves : table_.max_floats)
                                    : (is_half ? table_.sum_halves : table_.sum_floats);
    instruction.lanes = lanes;
    instruction.element_bytes = element_bytes(values_[source]);
    now().instructions.push_back(instruction);
    const std::size_t floats = add_register(room(tiling_.block_positions() * 4 + kPadding));
    FusedProgram::Finish finish{operation.reduction, lanes, floats};
    value.reduced = floats;
    if (value.is_half) {
      finish.halves = permanent(value, tiling_.block_positions());
      value.reduced = finish.halves;
    }
    now().finishes.push_back(finish);
  }

  void emit_elementwise(const FusedOperation& operation, Value& value, bool is_reduced,
                        std::vector<FusedProgram::Instruction>& code) {
    const std::size_t n = operation.operands.size();
    std::array<bool, 3> is_half{};
    for (std::size_t k = 0; k < n; ++k) is_half[k] = values_[operation.operands[k]].is_half;
    FusedProgram::Instruction instruction;
    instruction.parameters = operation.node.parameters;
    const TileOp op = operation.node.op;
    const bool all_half =
        std::all_of(is_half.begin(), is_half.begin() + n, [](bool h) { return h; });
    if (value.is_half && all_half) instruction.function = table_.half_functions[at(op)];
    if (chain_.looks_up(operation)) {
      instruction.function = table_.look_up;
      instruction.table = shared_table(operation.node);
    }
    if (op == TileOp::kSubExp && !value.is_half && is_half[0] && !is_half[1]) {
      instruction.function = table_.sub_exp_half;
    }
    if (op == TileOp::kMul && value.is_half && !is_half[0] && !is_half[1]) {
      instruction.function = table_.mul_to_half;
    }
    if (instruction.function != nullptr) {
      for (std::size_t k = 0; k < n; ++k) {
        instruction.in[k] = operand(operation.operands[k], is_reduced);
      }
      instruction.out = is_reduced ? value.reduced : target(value);
      code.push_back(instruction);
      return;
    }
    // By way of 4-byte elements.
    instruction.function = table_.functions[at(op)];
    for (std::size_t k = 0; k < n; ++k) {
      instruction.in[k] = wide_operand(operation.operands[k], is_reduced, code);
    }
    const std::size_t out = is_reduced ? value.reduced : target(value);
    const TileOp wrap = wrap_op(operation.dtype);
    if (!value.is_half && wrap == TileOp::kCount) {
      instruction.out = out;
      code.push_back(instruction);
      return;
    }
    const std::size_t raw = take(false);
    instruction.out = raw;
    code.push_back(instruction);
    code.push_back({.function = value.is_half ? table_.narrow : table_.functions[at(wrap)],
                    .out = out,
                    .in = {raw}});
    free_[1].push_back(raw);
  }

  void store(std::size_t stage) {
    for (std::size_t k = 0; k < chain_.outputs.size(); ++k) {
      const Value& value = values_[chain_.outputs[k]];
      if (value.stage != stage) continue;
      const FusedProgram::Transfer transfer{n_inputs() + k,
                                            value.is_reduced ? value.reduced : value.tile,
                                            chain_.output_layouts[k].dtype};
      (value.is_reduced ? now().reduced_stores : now().stores).push_back(transfer);
    }
  }

  const FusedChain& chain_;
  const Tiling& tiling_;
  const TileTable& table_;
  std::vector<Value> values_;
  FusedProgram program_;
  std::size_t stage_ = 0;
  std::size_t next_offset_ = 0;
  std::size_t n_lane_sets_ = 0;
  std::array<std::vector<std::size_t>, 2> free_;  ///< Registers of tiles: fp16, 4 bytes.
};

}  // namespace

FusedProgram compile_chain(const FusedChain& chain, const Tiling& tiling) {
  return Compiler(chain, tiling).run();
}

}  // namespace pyane::emulator
