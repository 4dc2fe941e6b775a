#include "pyane/emulator/kernels/fused_machine.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "pyane/base/half.h"
#include "pyane/emulator/kernels/copy.h"
#include "pyane/emulator/scratch.h"

namespace pyane::emulator {
namespace {

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

}  // namespace

FusedMachine::FusedMachine(const FusedProgram& program, const Tiling& tiling,
                           const StepArguments& arguments)
    : program_(program),
      tiling_(tiling),
      arguments_(arguments),
      memory_(thread_scratch(program.n_bytes + program.registers.size() * sizeof(std::byte*))),
      registers_(reinterpret_cast<std::byte**>(memory_ + program.n_bytes)) {
  for (std::size_t i = 0; i < program_.registers.size(); ++i) {
    registers_[i] = memory_ + program_.registers[i].offset;
  }
  for (const FusedProgram::Transfer& uniform : program_.uniforms) spread_out(uniform);
}

void FusedMachine::run(const Tiling::Part& block) {
  const Tiling::Part positions = tiling_.positions(block);
  for (std::size_t i = 0; i < program_.stages.size(); ++i) {
    const FusedProgram::Stage& stage = program_.stages[i];
    for (const FusedProgram::Finish& finish : stage.finishes) clear_lanes(finish, block);
    for (std::size_t tile = 0; i > 0 && tile < tiling_.block_tiles(); ++tile) {
      run_tile(stage, block, tile);
    }
    for (const FusedProgram::Finish& finish : stage.finishes) {
      finish_lanes(finish, positions);
    }
    for (const FusedProgram::Transfer& load : stage.reduced_loads) copy_in(load, positions);
    for (const FusedProgram::Instruction& instruction : stage.reduced_instructions) {
      call(instruction, positions.count());
    }
    for (const FusedProgram::Transfer& store : stage.reduced_stores) copy_out(store, positions);
    for (const FusedProgram::Spread& spread : stage.spreads) repeat(spread, block);
  }
}

const std::byte* FusedMachine::data_of(const FusedProgram::Transfer& load) const {
  return arguments_.inputs[load.tensor].data;
}

void FusedMachine::run_tile(const FusedProgram::Stage& stage, const Tiling::Part& block,
                            std::size_t index) {
  const Tiling::Part part = tiling_.tile(block, static_cast<std::int64_t>(index));
  for (const std::size_t reg : program_.moving) {
    const auto& [offset, stride] = program_.registers[reg];
    registers_[reg] = memory_ + offset + index * stride;
  }
  for (const FusedProgram::Transfer& load : stage.loads) {
    std::byte* const direct = dense_part(load, arguments_.inputs[load.tensor], load.tensor, part);
    if (direct != nullptr) {
      registers_[load.reg] = direct;
    } else {
      registers_[load.reg] = memory_ + program_.registers[load.reg].offset;
      copy_in(load, part);
    }
  }
  const std::size_t n_inputs = arguments_.inputs.size();
  for (const FusedProgram::Transfer& store : stage.stores) {
    if (program_.registers[store.reg].stride != 0) continue;
    std::byte* const direct =
        dense_part(store, arguments_.outputs[store.tensor - n_inputs], store.tensor, part);
    registers_[store.reg] =
        direct != nullptr ? direct : memory_ + program_.registers[store.reg].offset;
  }
  for (const FusedProgram::Instruction& instruction : stage.instructions) {
    if (instruction.accumulate != nullptr) {
      accumulate(instruction, part);
    } else {
      call(instruction, part.count());
    }
  }
  for (const FusedProgram::Transfer& store : stage.stores) {
    const auto& [offset, stride] = program_.registers[store.reg];
    if (registers_[store.reg] == memory_ + offset + index * stride) copy_out(store, part);
  }
}

void FusedMachine::call(const FusedProgram::Instruction& instruction, std::size_t n) const {
  instruction.function({.out = registers_[instruction.out],
                        .in = {registers_[instruction.in[0]], registers_[instruction.in[1]],
                               registers_[instruction.in[2]]},
                        .n = n,
                        .parameters = instruction.parameters.data(),
                        .table = instruction.table ? instruction.table->data() : nullptr});
}

std::byte* FusedMachine::dense_part(const FusedProgram::Transfer& transfer,
                                    const TensorView& tensor, std::size_t number,
                                    const Tiling::Part& part) const {
  const DType dtype = transfer.dtype;
  if (dtype != DType::kFp16 && dtype != DType::kFp32 && dtype != DType::kInt32) return nullptr;
  const std::int64_t bytes = dtype == DType::kFp16 ? 2 : 4;
  if (part.n_columns > 1 && tiling_.column_stride(number) != 1) return nullptr;
  std::byte* result = nullptr;
  tiling_.for_each_run(number, part, [&](const Tiling::Run& run) {
    const bool is_dense = run.n_rows == 1 || run.row_stride == part.n_columns;
    if (run.n_rows == part.n_rows && is_dense) result = tensor.data + run.offset * bytes;
  });
  return result;
}

void FusedMachine::spread_out(const FusedProgram::Transfer& uniform) const {
  const std::size_t n = std::max(tiling_.tile_elements(), tiling_.block_positions());
  std::byte* const target = registers_[uniform.reg];
  if (uniform.dtype == DType::kFp16) {
    return tile_table().repeat_halves(data_of(uniform), 0, target, 1, n);
  }
  widen(uniform.dtype, data_of(uniform), staging(), 1);
  tile_table().repeat_words(staging(), target, 1, n);
}

void FusedMachine::place(const FusedProgram::Transfer& load, std::size_t n) const {
  std::byte* const target = registers_[load.reg];
  if (load.dtype == DType::kFp16) {
    std::memcpy(target, staging(), n * 2);
  } else {
    widen(load.dtype, staging(), target, n);
  }
}

void FusedMachine::copy_in(const FusedProgram::Transfer& load, const Tiling::Part& part) const {
  const TileTable& table = tile_table();
  const auto bytes = static_cast<std::int64_t>(dtype_size(load.dtype));
  const std::int64_t stride = tiling_.column_stride(load.tensor);
  const auto columns = static_cast<std::size_t>(part.n_columns);
  const bool is_half = load.dtype == DType::kFp16;
  std::byte* const dense = is_half ? registers_[load.reg] : staging();
  tiling_.for_each_run(load.tensor, part, [&](const Tiling::Run& run) {
    const std::byte* source = data_of(load) + run.offset * bytes;
    std::byte* target = dense + run.first_row * part.n_columns * bytes;
    const auto rows = static_cast<std::size_t>(run.n_rows);
    if (bytes == 2 && (stride == 1 || columns == 1)) {
      return table.copy_halves(source, run.row_stride, target, part.n_columns, rows, columns);
    }
    if (bytes == 2 && stride == 0) {
      return table.repeat_halves(source, run.row_stride, target, rows, columns);
    }
    for (std::int64_t row = 0; row < run.n_rows; ++row) {
      copy_strided(source + row * run.row_stride * bytes, stride,
                   target + row * part.n_columns * bytes, 1, columns,
                   static_cast<std::size_t>(bytes));
    }
  });
  if (!is_half) place(load, part.count());
}

void FusedMachine::copy_out(const FusedProgram::Transfer& store, const Tiling::Part& part) const {
  const auto bytes = static_cast<std::int64_t>(dtype_size(store.dtype));
  const std::int64_t stride = tiling_.column_stride(store.tensor);
  const auto columns = static_cast<std::size_t>(part.n_columns);
  const std::byte* dense = registers_[store.reg];
  if (store.dtype != DType::kFp16) {
    narrow(store.dtype, registers_[store.reg], staging(), part.count());
    dense = staging();
  }
  std::byte* const data = arguments_.outputs[store.tensor - arguments_.inputs.size()].data;
  tiling_.for_each_run(store.tensor, part, [&](const Tiling::Run& run) {
    std::byte* target = data + run.offset * bytes;
    const std::byte* source = dense + run.first_row * part.n_columns * bytes;
    const auto rows = static_cast<std::size_t>(run.n_rows);
    if (bytes == 2 && (stride == 1 || columns == 1)) {
      return tile_table().copy_halves(source, part.n_columns, target, run.row_stride, rows,
                                      columns);
    }
    for (std::int64_t row = 0; row < run.n_rows; ++row) {
      copy_strided(source + row * part.n_columns * bytes, 1, target + row * run.row_stride * bytes,
                   stride, columns, static_cast<std::size_t>(bytes));
    }
  });
}

void FusedMachine::clear_lanes(const FusedProgram::Finish& finish,
                               const Tiling::Part& block) const {
  const std::size_t n = tiling_.positions(block).count() * kSumLanes;
  std::fill_n(
      lanes(finish.lanes), n,
      finish.reduction == ChainReduction::kMax ? -std::numeric_limits<float>::infinity() : 0.0F);
}

void FusedMachine::accumulate(const FusedProgram::Instruction& instruction,
                              const Tiling::Part& part) const {
  const std::byte* x = registers_[instruction.in[0]];
  float* const sums = lanes(instruction.lanes);
  const auto columns = static_cast<std::size_t>(part.n_columns);
  if (!is_inner()) {
    return instruction.accumulate(x, part.count(), sums, columns * kSumLanes);
  }
  const std::size_t row_bytes = columns * instruction.element_bytes;
  for (std::size_t row = 0; row < static_cast<std::size_t>(part.n_rows); ++row) {
    instruction.accumulate(x + row * row_bytes, columns, sums + row * kSumLanes, kSumLanes);
  }
}

void FusedMachine::finish_lanes(const FusedProgram::Finish& finish,
                                const Tiling::Part& positions) const {
  const bool is_max = finish.reduction == ChainReduction::kMax;
  const auto fold = is_max ? tile_table().fold_max : tile_table().fold_sum;
  float* const sums = lanes(finish.lanes);
  auto* const results = reinterpret_cast<float*>(registers_[finish.reg]);
  const std::size_t n = positions.count();
  if (is_inner()) {
    for (std::size_t i = 0; i < n; ++i) {
      fold(sums + i * kSumLanes, 1);
      results[i] = sums[i * kSumLanes];
    }
  } else {
    fold(sums, n);
    std::copy_n(sums, n, results);
  }
  const auto length = static_cast<float>(tiling_.axis_length());
  for (std::size_t i = 0; i < n; ++i) {
    if (finish.reduction == ChainReduction::kMean) results[i] /= length;
    if (finish.reduction == ChainReduction::kRootOfSum) results[i] = std::sqrt(results[i]);
    results[i] = reduced_value(results[i], is_max);
  }
  if (finish.halves != FusedProgram::kNone) {
    float_to_half(results, reinterpret_cast<half_bits*>(registers_[finish.halves]), n);
  }
}

void FusedMachine::repeat(const FusedProgram::Spread& spread, const Tiling::Part& block) const {
  const Tiling::Part part = tiling_.tile(block, 0);
  const std::byte* from = registers_[spread.from];
  std::byte* to = registers_[spread.to];
  const auto rows = static_cast<std::size_t>(part.n_rows);
  const auto columns = static_cast<std::size_t>(part.n_columns);
  const std::size_t bytes = spread.element_bytes;
  if (!is_inner()) {  // Every row is the reduced one.
    for (std::size_t row = 0; row < rows; ++row) {
      std::memcpy(to + row * columns * bytes, from, columns * bytes);
    }
  } else if (bytes == 2) {  // Every row is one element of it.
    tile_table().repeat_halves(from, 1, to, rows, columns);
  } else {
    tile_table().repeat_words(from, to, rows, columns);
  }
}

}  // namespace pyane::emulator
