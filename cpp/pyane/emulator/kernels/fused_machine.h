#pragma once

#include <cstddef>
#include <cstdint>

#include "pyane/emulator/kernels/fused_program.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/tiling.h"

namespace pyane::emulator {

/// One thread's work on a few blocks of a fused chain: the program with its registers in memory.
class FusedMachine {
 public:
  FusedMachine(const FusedProgram& program, const Tiling& tiling, const StepArguments& arguments);

  void run(const Tiling::Part& block);

 private:
  std::byte* staging() const { return memory_ + program_.staging; }
  float* lanes(std::size_t offset) const { return reinterpret_cast<float*>(memory_ + offset); }
  const std::byte* data_of(const FusedProgram::Transfer& load) const;
  void run_tile(const FusedProgram::Stage& stage, const Tiling::Part& block, std::size_t index);
  void call(const FusedProgram::Instruction& instruction, std::size_t n) const;

  // ---- Between tensors and registers
  /// The part in the tensor itself, if it is dense there: no copy is needed. Only of types that
  /// tiles hold as they are.
  std::byte* dense_part(const FusedProgram::Transfer& transfer, const TensorView& tensor,
                        std::size_t number, const Tiling::Part& part) const;
  /// A value that is the same everywhere.
  void spread_out(const FusedProgram::Transfer& uniform) const;
  /// From dense elements in staging memory to the register.
  void place(const FusedProgram::Transfer& load, std::size_t n) const;
  void copy_in(const FusedProgram::Transfer& load, const Tiling::Part& part) const;
  void copy_out(const FusedProgram::Transfer& store, const Tiling::Part& part) const;

  // ---- Along the axis
  bool is_inner() const { return tiling_.kind() == Tiling::Kind::kInner; }
  void clear_lanes(const FusedProgram::Finish& finish, const Tiling::Part& block) const;
  void accumulate(const FusedProgram::Instruction& instruction, const Tiling::Part& part) const;
  void finish_lanes(const FusedProgram::Finish& finish, const Tiling::Part& positions) const;
  void repeat(const FusedProgram::Spread& spread, const Tiling::Part& block) const;

  const FusedProgram& program_;
  const Tiling& tiling_;
  const StepArguments& arguments_;
  std::byte* memory_;
  std::byte** registers_;
};

}  // namespace pyane::emulator
