#include "pyane/emulator/kernels/fused.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "pyane/base/half.h"
#include "pyane/base/thread_pool.h"
#include "pyane/emulator/iteration.h"
#include "pyane/emulator/kernels/copy.h"
#include "pyane/emulator/scratch.h"

namespace pyane::emulator {
namespace {

/// Tiles that one thread takes at a time.
constexpr std::int64_t kTilesPerChunk = 16;
constexpr std::size_t kSlotBytes = kTileElements * 4;
constexpr std::size_t kNoSlot = static_cast<std::size_t>(-1);

struct Instruction {
  TileFunction function = nullptr;
  std::size_t out = 0;
  std::array<std::size_t, 3> in{};
  std::array<float, 2> parameters{};
  bool rounds = false;            ///< To fp16.
  TileFunction wraps = nullptr;   ///< To a narrow integer type; needs `wrapped`.
  std::size_t wrapped = kNoSlot;  ///< Slot of the wrapped result.
};

struct Transfer {
  std::size_t tensor;  ///< Input or output number.
  std::size_t slot;
  DType dtype;
};

/// Dense elements of `dtype` to a tile.
void widen(DType dtype, const std::byte* source, void* tile, std::size_t n) {
  auto* ints = static_cast<std::int32_t*>(tile);
  switch (dtype) {
    case DType::kFp16:
      return half_to_float(reinterpret_cast<const half_bits*>(source), static_cast<float*>(tile),
                           n);
    case DType::kInt8:
      std::copy_n(reinterpret_cast<const std::int8_t*>(source), n, ints);
      return;
    case DType::kUint8:
    case DType::kBool:
      std::copy_n(reinterpret_cast<const std::uint8_t*>(source), n, ints);
      return;
    case DType::kInt16:
      std::copy_n(reinterpret_cast<const std::int16_t*>(source), n, ints);
      return;
    case DType::kUint16:
      std::copy_n(reinterpret_cast<const std::uint16_t*>(source), n, ints);
      return;
    default:  // fp32, int32, uint32
      std::memcpy(tile, source, n * 4);
  }
}

/// A tile to dense elements of `dtype`, in range already.
void narrow(DType dtype, const void* tile, std::byte* target, std::size_t n) {
  const auto* ints = static_cast<const std::int32_t*>(tile);
  switch (dtype) {
    case DType::kFp16:
      return float_to_half(static_cast<const float*>(tile), reinterpret_cast<half_bits*>(target),
                           n);
    case DType::kInt8:
    case DType::kUint8:
    case DType::kBool:
      for (std::size_t i = 0; i < n; ++i) target[i] = static_cast<std::byte>(ints[i] & 0xFF);
      return;
    case DType::kInt16:
    case DType::kUint16: {
      auto* shorts = reinterpret_cast<std::uint16_t*>(target);
      for (std::size_t i = 0; i < n; ++i) shorts[i] = static_cast<std::uint16_t>(ints[i]);
      return;
    }
    default:
      std::memcpy(target, tile, n * 4);
  }
}

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

class Fused final : public Step {
 public:
  explicit Fused(const FusedChain& chain) : n_inputs_(chain.inputs.size()), space_(layouts(chain)) {
    const TileTable& table = tile_table();
    round_ = table.round_to_half;
    compile(chain, table);
    const std::int64_t inner = space_.inner();
    if (inner >= static_cast<std::int64_t>(kTileElements)) {
      columns_per_tile_ = kTileElements;
      tiles_per_row_ = (inner + columns_per_tile_ - 1) / columns_per_tile_;
      n_tiles_ = space_.n_rows() * tiles_per_row_;
    } else {
      columns_per_tile_ = inner;
      rows_per_tile_ = static_cast<std::int64_t>(kTileElements) / std::max<std::int64_t>(inner, 1);
      n_tiles_ = inner == 0 ? 0 : (space_.n_rows() + rows_per_tile_ - 1) / rows_per_tile_;
    }
  }

  void run(const StepArguments& arguments) const override {
    const std::int64_t n_chunks = (n_tiles_ + kTilesPerChunk - 1) / kTilesPerChunk;
    if (n_chunks <= 1) {
      if (n_chunks == 1) run_tiles(arguments, 0, n_tiles_);
      return;
    }
    const auto body = [&](std::size_t chunk) {
      const std::int64_t begin = static_cast<std::int64_t>(chunk) * kTilesPerChunk;
      run_tiles(arguments, begin, std::min(begin + kTilesPerChunk, n_tiles_));
    };
    parallel_for(static_cast<std::size_t>(n_chunks), [&body](std::size_t i) { body(i); });
  }

 private:
  static std::vector<TensorLayout> layouts(const FusedChain& chain) {
    std::vector<TensorLayout> all = chain.inputs;
    all.insert(all.end(), chain.output_layouts.begin(), chain.output_layouts.end());
    return all;
  }

  // Gives every value a slot of the tile memory, reusing slots whose value is no longer needed.
  void compile(const FusedChain& chain, const TileTable& table) {
    const std::size_t n_values = n_inputs_ + chain.operations.size();
    std::vector<std::size_t> last_use(n_values, 0);
    for (std::size_t i = 0; i < chain.operations.size(); ++i) {
      for (const std::size_t value : chain.operations[i].operands) last_use[value] = i;
    }
    for (const std::size_t value : chain.outputs) last_use[value] = chain.operations.size();

    std::vector<std::size_t> slot_of(n_values, kNoSlot);
    std::vector<std::size_t> free;
    const auto take = [&] {
      if (free.empty()) return n_slots_++;
      const std::size_t slot = free.back();
      free.pop_back();
      return slot;
    };
    for (std::size_t i = 0; i < n_inputs_; ++i) {
      const TensorLayout& layout = chain.inputs[i];
      bool is_uniform = true;
      for (int d = 0; d < space_.rank; ++d) {
        is_uniform = is_uniform && space_.strides[i][static_cast<std::size_t>(d)] == 0;
      }
      // A value that is the same everywhere is spread out once per chunk and keeps its slot.
      if (is_uniform) last_use[i] = chain.operations.size() + 1;
      slot_of[i] = take();
      (is_uniform ? uniforms_ : loads_).push_back({i, slot_of[i], layout.dtype});
    }
    for (std::size_t i = 0; i < chain.operations.size(); ++i) {
      const FusedOperation& operation = chain.operations[i];
      Instruction instruction;
      instruction.function = table.functions[static_cast<std::size_t>(operation.node.op)];
      instruction.parameters = operation.node.parameters;
      for (std::size_t k = 0; k < operation.operands.size(); ++k) {
        instruction.in[k] = slot_of[operation.operands[k]];
      }
      const std::size_t value = n_inputs_ + i;
      instruction.out = take();
      slot_of[value] = instruction.out;
      // Storing rounds as well, so a result that nobody else reads is not rounded twice.
      const bool is_read = last_use[value] > i && last_use[value] < chain.operations.size();
      const bool is_read_too = is_read || used_inside(chain, value);
      instruction.rounds = operation.dtype == DType::kFp16 && is_read_too;
      if (const TileOp wrap = wrap_op(operation.dtype); wrap != TileOp::kCount) {
        instruction.wraps = table.functions[static_cast<std::size_t>(wrap)];
        instruction.wrapped = take();
        free.push_back(instruction.out);
        slot_of[value] = instruction.wrapped;
      }
      instructions_.push_back(instruction);
      for (const std::size_t operand : operation.operands) {
        if (last_use[operand] == i && slot_of[operand] != kNoSlot) {
          free.push_back(slot_of[operand]);
          slot_of[operand] = kNoSlot;  // An operand may appear twice.
        }
      }
    }
    for (std::size_t k = 0; k < chain.outputs.size(); ++k) {
      stores_.push_back({k, slot_of[chain.outputs[k]], chain.output_layouts[k].dtype});
    }
  }

  static bool used_inside(const FusedChain& chain, std::size_t value) {
    for (const FusedOperation& operation : chain.operations) {
      if (std::find(operation.operands.begin(), operation.operands.end(), value) !=
          operation.operands.end()) {
        return true;
      }
    }
    return false;
  }

  void run_tiles(const StepArguments& arguments, std::int64_t begin, std::int64_t end) const {
    std::byte* slots = thread_scratch((n_slots_ + 1) * kSlotBytes);
    std::byte* staging = slots + n_slots_ * kSlotBytes;
    const auto slot = [&](std::size_t i) { return slots + i * kSlotBytes; };
    for (const Transfer& uniform : uniforms_) {
      copy_strided(arguments.inputs[uniform.tensor].data, 0, staging, 1, kTileElements,
                   dtype_size(uniform.dtype));
      widen(uniform.dtype, staging, slot(uniform.slot), kTileElements);
    }
    const bool whole_rows = rows_per_tile_ > 0;
    RowCursor cursor(space_, whole_rows ? begin * rows_per_tile_ : begin / tiles_per_row_);
    for (std::int64_t tile = begin; tile < end; ++tile) {
      Span span;
      if (whole_rows) {
        span.n_rows = std::min(rows_per_tile_, space_.n_rows() - tile * rows_per_tile_);
        span.n_columns = columns_per_tile_;
      } else {
        span.column = tile % tiles_per_row_ * columns_per_tile_;
        span.n_rows = 1;
        span.n_columns = std::min(columns_per_tile_, space_.inner() - span.column);
      }
      const auto n = static_cast<std::size_t>(span.n_rows * span.n_columns);
      for (const Transfer& load : loads_) {
        load_tile(arguments.inputs[load.tensor].data, load, cursor, span, staging, slot(load.slot));
      }
      for (const Instruction& instruction : instructions_) {
        TileArguments call{
            .out = slot(instruction.out),
            .in = {slot(instruction.in[0]), slot(instruction.in[1]), slot(instruction.in[2])},
            .n = n,
            .parameters = instruction.parameters.data()};
        instruction.function(call);
        if (instruction.rounds) round_(static_cast<float*>(call.out), n);
        if (instruction.wraps != nullptr) {
          call.in[0] = call.out;
          call.out = slot(instruction.wrapped);
          instruction.wraps(call);
        }
      }
      for (const Transfer& store : stores_) {
        store_tile(arguments.outputs[store.tensor].data, store, cursor, span, staging,
                   slot(store.slot));
      }
      if (whole_rows) {
        for (std::int64_t i = 0; i < span.n_rows; ++i) cursor.advance();
      } else if (span.column + span.n_columns == space_.inner()) {
        cursor.advance();
      }
    }
  }

  /// Part of a row, or several whole rows.
  struct Span {
    std::int64_t column = 0;
    std::int64_t n_rows = 0;
    std::int64_t n_columns = 0;
  };

  void load_tile(const std::byte* data, const Transfer& load, const RowCursor& start,
                 const Span& span, std::byte* staging, std::byte* tile) const {
    const std::int64_t stride = space_.inner_stride(load.tensor);
    const auto bytes = static_cast<std::int64_t>(dtype_size(load.dtype));
    const auto columns = static_cast<std::size_t>(span.n_columns);
    if (span.n_rows == 1 && stride == 1) {
      const std::int64_t offset = start.offset(load.tensor) + span.column;
      return widen(load.dtype, data + offset * bytes, tile, columns);
    }
    RowCursor cursor = start;
    for (std::int64_t row = 0; row < span.n_rows; ++row) {
      const std::int64_t offset = cursor.offset(load.tensor) + span.column * stride;
      copy_strided(data + offset * bytes, stride, staging + row * span.n_columns * bytes, 1,
                   columns, static_cast<std::size_t>(bytes));
      cursor.advance();
    }
    widen(load.dtype, staging, tile, static_cast<std::size_t>(span.n_rows * span.n_columns));
  }

  void store_tile(std::byte* data, const Transfer& store, const RowCursor& start, const Span& span,
                  std::byte* staging, const std::byte* tile) const {
    const std::size_t tensor = n_inputs_ + store.tensor;
    const std::int64_t stride = space_.inner_stride(tensor);
    const auto bytes = static_cast<std::int64_t>(dtype_size(store.dtype));
    const auto columns = static_cast<std::size_t>(span.n_columns);
    if (span.n_rows == 1 && stride == 1) {
      const std::int64_t offset = start.offset(tensor) + span.column;
      return narrow(store.dtype, tile, data + offset * bytes, columns);
    }
    narrow(store.dtype, tile, staging, static_cast<std::size_t>(span.n_rows * span.n_columns));
    RowCursor cursor = start;
    for (std::int64_t row = 0; row < span.n_rows; ++row) {
      const std::int64_t offset = cursor.offset(tensor) + span.column * stride;
      copy_strided(staging + row * span.n_columns * bytes, 1, data + offset * bytes, stride,
                   columns, static_cast<std::size_t>(bytes));
      cursor.advance();
    }
  }

  std::size_t n_inputs_;
  IterationSpace space_;
  std::vector<Transfer> uniforms_;
  std::vector<Transfer> loads_;
  std::vector<Instruction> instructions_;
  std::vector<Transfer> stores_;
  std::size_t n_slots_ = 0;
  void (*round_)(float*, std::size_t) = nullptr;
  std::int64_t columns_per_tile_ = 0;
  std::int64_t tiles_per_row_ = 1;
  std::int64_t rows_per_tile_ = 0;  ///< 0: a tile is part of one row.
  std::int64_t n_tiles_ = 0;
};

}  // namespace

std::unique_ptr<Step> make_fused(FusedChain chain) { return std::make_unique<Fused>(chain); }

}  // namespace pyane::emulator
