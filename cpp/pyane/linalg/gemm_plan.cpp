#include "pyane/linalg/gemm_plan.h"

#include <algorithm>
#include <string>
#include <utility>

#include "pyane/base/divide.h"
#include "pyane/base/error.h"

namespace pyane::linalg {
namespace {

using Index = std::int64_t;

/// A step along k, when there are several: a panel of b of this length stays in the L1 cache.
constexpr Index kMaxPanelFloats = 8192;
/// Up to here one step is better, whose sums stay in registers.
constexpr Index kMaxStep = 256;
/// Of a block of c, which stays in the L2 cache beside the panels of a.
constexpr Index kMaxBlockRows = 280;  // 256, and whole panels.
constexpr Index kMaxBlockCols = 256;
/// More than this is not packed as a whole.
constexpr std::size_t kMaxSharedBytes = std::size_t{32} << 20;

std::size_t floats_to_bytes(Index n) {
  const std::size_t bytes = static_cast<std::size_t>(n) * sizeof(float);
  return (bytes + kGemmAlign - 1) / kGemmAlign * kGemmAlign;
}

void check(const GemmOperand& x, const std::string& name, std::size_t batch, Index rows,
           Index cols) {
  if (x.dtype != DType::kFp16 && x.dtype != DType::kFp32) {
    throw ShapeError("gemm: " + name + " must be fp16 or fp32, got " +
                     std::string(dtype_name(x.dtype)));
  }
  if (x.offsets.size() != batch) {
    throw ShapeError("gemm: " + name + " must have one offset per product (" +
                     std::to_string(batch) + "), got " + std::to_string(x.offsets.size()));
  }
  if (x.row_offsets.empty() && x.col_offsets.empty()) return;
  if (x.row_offsets.size() != static_cast<std::size_t>(rows) ||
      x.col_offsets.size() != static_cast<std::size_t>(cols)) {
    throw ShapeError("gemm: " + name + " must have " + std::to_string(rows) + " row offsets and " +
                     std::to_string(cols) + " column offsets, got " +
                     std::to_string(x.row_offsets.size()) + " and " +
                     std::to_string(x.col_offsets.size()));
  }
}

void check(const GemmSpec& s) {
  if (s.m < 0 || s.n < 0 || s.k < 0) {
    throw ShapeError("gemm: sizes must not be negative, got m=" + std::to_string(s.m) +
                     " n=" + std::to_string(s.n) + " k=" + std::to_string(s.k));
  }
  const std::size_t batch = s.c.offsets.size();
  check(s.a, "a", batch, s.m, s.k);
  check(s.b, "b", batch, s.k, s.n);
  check(s.c, "c", batch, s.m, s.n);
  if (!s.c.row_offsets.empty()) throw ShapeError("gemm: c must have strides, got offsets");
  if (s.bias == GemmBias::kNone) return;
  if (s.bias_dtype != DType::kFp16 && s.bias_dtype != DType::kFp32) {
    throw ShapeError("gemm: bias must be fp16 or fp32, got " +
                     std::string(dtype_name(s.bias_dtype)));
  }
  if (!s.bias_offsets.empty() && s.bias_offsets.size() != batch) {
    throw ShapeError("gemm: bias must have one offset per product (" + std::to_string(batch) +
                     "), got " + std::to_string(s.bias_offsets.size()));
  }
}

/// The same product seen from the other side: c^T = b^T @ a^T.
GemmOperand transposed(GemmOperand x) {
  std::swap(x.row_stride, x.col_stride);
  std::swap(x.row_offsets, x.col_offsets);
  return x;
}

}  // namespace

Gemm::Plan::Plan(GemmSpec wanted) : spec(std::move(wanted)), kernel(&active_gemm_kernel()) {
  check(spec);
  // A narrow c would leave most of each vector unused; turned over, its long side is vectorised.
  is_swapped = spec.n < spec.m && spec.n <= kernel->nr / 2;
  const Index m = is_swapped ? spec.n : spec.m;
  const Index n = is_swapped ? spec.m : spec.n;
  if (is_swapped) {
    a = GemmSide(transposed(spec.b), m, spec.k, kernel->mr);
    b = GemmSide(spec.a, n, spec.k, kernel->nr);
  } else {
    a = GemmSide(spec.a, m, spec.k, kernel->mr);
    b = GemmSide(transposed(spec.b), n, spec.k, kernel->nr);
  }
  a.pack = kernel->pack_a;
  a.group = kernel->a_group;
  b.pack = kernel->pack_b;
  c_row_stride = is_swapped ? spec.c.col_stride : spec.c.row_stride;
  c_col_stride = is_swapped ? spec.c.row_stride : spec.c.col_stride;
  bias_is_per_row = (spec.bias == GemmBias::kPerRow) != is_swapped;
  if (m == 0 || n == 0 || spec.c.offsets.empty()) return;

  const Index longest = std::min(kMaxStep, kMaxPanelFloats / kernel->nr);
  n_k_steps = spec.k <= kMaxStep ? 1 : divide_up(spec.k, longest);
  k_step = divide_up(spec.k, n_k_steps);
  cut();
  place();
}

/// Whether panels of `side` are packed before the tasks, for a cut of the other side.
bool Gemm::Plan::shares(const GemmSide& side, Index other_blocks) const {
  // Converted by every task, while weights for the next panel come from memory.
  if (side.packed != nullptr || (side.packed_halves != nullptr && &side == &a)) return false;
  const std::size_t users = side.which.size() / side.matrices.size();
  return floats_to_bytes(side.all_floats()) <= kMaxSharedBytes && (other_blocks > 1 || users > 1);
}

/// Cuts c into blocks so that a few threads need about the least time, by cycles as they were
/// measured with AVX-512; only their proportions count.
void Gemm::Plan::cut() {
  if (a.n_panels == 0 || b.n_panels == 0 || spec.c.offsets.empty()) return;
  constexpr double kPack = 0.4;        // Of a float, by the task that needs it.
  constexpr double kPackShared = 0.8;  // Into the scratch, and back from memory.
  constexpr double kRead = 0.125;      // Of a packed one, for a task.
  constexpr double kTask = 6000;       // To take a task, its first sums.
  constexpr double kFork = 10'000;     // To wake threads, and to wait for the last.
  constexpr double kLate = 0.25;       // Of a task: threads are never equally fast.
  const auto k = static_cast<double>(std::max<Index>(1, spec.k));
  const double of_tile = k * a.width * b.width / 32;  // Two vectors of 16 a cycle.
  const auto batch = static_cast<Index>(spec.c.offsets.size());

  const auto cycles = [&](Index a_blocks, Index b_blocks) {
    double packing = 0;
    int forks = 1;
    const auto of_panel = [&](const GemmSide& side, Index other_blocks) {
      const double floats = k * side.width;
      if (side.packed != nullptr) return kRead * floats;
      if (!shares(side, other_blocks)) return kPack * floats;
      packing += kPackShared * static_cast<double>(side.all_floats());
      ++forks;
      return kRead * floats;
    };
    const auto a_panels = static_cast<double>(divide_up(a.n_panels, a_blocks));
    const auto b_panels = static_cast<double>(divide_up(b.n_panels, b_blocks));
    const double task = a_panels * b_panels * of_tile + a_panels * of_panel(a, b_blocks) +
                        b_panels * of_panel(b, a_blocks) + kTask;
    const Index tasks = batch * a_blocks * b_blocks;
    double sum = packing + static_cast<double>(tasks) * task;
    for (const Index threads : {2, 3, 4, 6, 8}) {
      const auto rounds = static_cast<double>(divide_up(tasks, threads));
      const double waits = tasks > 1 ? kLate * task + forks * kFork : 0;
      sum += packing + static_cast<double>(threads) * (rounds * task + waits);
    }
    return sum;
  };

  const auto blocks_of = [](const GemmSide& side, Index most_lanes, Index wanted) {
    return std::clamp(wanted, divide_up(side.n_panels * side.width, most_lanes), side.n_panels);
  };
  double best = 0;
  Index a_best = 0;
  Index b_best = 0;
  constexpr Index kNumbers[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48};
  for (const Index of_a : kNumbers) {
    const Index a_blocks = blocks_of(a, kMaxBlockRows, of_a);
    for (const Index of_b : kNumbers) {
      const Index b_blocks = blocks_of(b, kMaxBlockCols, of_b);
      const double cost = cycles(a_blocks, b_blocks);
      if (a_best != 0 && cost >= best) continue;
      best = cost;
      a_best = a_blocks;
      b_best = b_blocks;
    }
  }
  a.set_blocks(a_best);
  b.set_blocks(b_best);
}

/// Decides where panels come from, and lays out scratch and a task's own memory.
void Gemm::Plan::place() {
  scratch_bytes = 0;
  if (spec.c.offsets.empty()) return;
  const auto share = [&](GemmSide& side, const GemmSide& other) {
    side.is_shared = shares(side, other.n_blocks);
    if (!side.is_shared) return;
    side.scratch_at = scratch_bytes;
    scratch_bytes += floats_to_bytes(side.all_floats());
  };
  share(a, b);
  share(b, a);
  const auto own = [&](const GemmSide& side, Index panels) {
    const bool is_own = side.packed == nullptr && !side.is_shared;
    // Rounded so that what follows stays aligned.
    return is_own ? divide_up(panels * side.width * k_step, 16) * 16 : 0;
  };
  own_a_floats = own(a, a.block);
  own_b_floats = own(b, 1);  // The next panel replaces it.
  sums_floats = a.block * b.block * a.width * b.width;
}

}  // namespace pyane::linalg
