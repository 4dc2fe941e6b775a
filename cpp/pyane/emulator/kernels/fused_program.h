#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "pyane/emulator/kernels/fused.h"
#include "pyane/emulator/kernels/half_table.h"
#include "pyane/emulator/kernels/tiling.h"

namespace pyane::emulator {

/// A fused chain translated for a small machine. Its registers are pointers to tiles, or to one
/// element per position of a block; those of fp16 values hold fp16, all others 4-byte elements
/// (tile.h). It goes through every block stage by stage: a stage visits all tiles of the block,
/// then works on what has been reduced.
struct FusedProgram {
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  struct Register {
    std::size_t offset = 0;  ///< In the machine's memory.
    std::size_t stride = 0;  ///< From a tile to the next, in bytes: what a later stage reads again.
  };

  struct Instruction {
    TileFunction function = nullptr;
    std::size_t out = 0;
    std::array<std::size_t, 3> in{};
    std::array<float, 2> parameters{};
    std::shared_ptr<const HalfTable> table = nullptr;  ///< Of look_up.
    // Instead of a function: register `in[0]` joins the lanes at `lanes`.
    void (*accumulate)(const void* x, std::size_t n, float* lanes, std::size_t n_lanes) = nullptr;
    std::size_t lanes = 0;  ///< Offset in the machine's memory.
    std::size_t element_bytes = 0;
  };

  struct Transfer {
    std::size_t tensor = 0;  ///< Inputs first, then outputs.
    std::size_t reg = 0;
    DType dtype = DType::kFp16;
  };

  /// Turns lanes into reduced values.
  struct Finish {
    ChainReduction reduction = ChainReduction::kNone;
    std::size_t lanes = 0;
    std::size_t reg = 0;         ///< fp32.
    std::size_t halves = kNone;  ///< The same rounded to fp16.
  };

  /// A reduced value repeated along the axis, as a tile.
  struct Spread {
    std::size_t from = 0;
    std::size_t to = 0;
    std::size_t element_bytes = 2;
  };

  struct Stage {
    // For every tile.
    std::vector<Transfer> loads;
    std::vector<Instruction> instructions;
    std::vector<Transfer> stores;
    // At the end of the block.
    std::vector<Finish> finishes;
    std::vector<Transfer> reduced_loads;
    std::vector<Instruction> reduced_instructions;
    std::vector<Transfer> reduced_stores;
    std::vector<Spread> spreads;
  };

  std::vector<Register> registers;
  std::vector<std::size_t> moving;  ///< Registers with a stride.
  std::vector<Transfer> uniforms;   ///< Values that are the same everywhere, as tiles.
  std::vector<Stage> stages;  ///< The first one's tiles are not visited: it comes before them.
  std::size_t n_lanes = 0;    ///< Sets of lanes, `lane_bytes` each, from offset 0.
  std::size_t lane_bytes = 0;
  std::size_t staging = 0;  ///< Offset of room for a tile of any type.
  std::size_t n_bytes = 0;  ///< Of the machine's memory.
};

FusedProgram compile_chain(const FusedChain& chain, const Tiling& tiling);

}  // namespace pyane::emulator
