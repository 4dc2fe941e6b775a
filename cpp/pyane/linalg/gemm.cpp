#include "pyane/linalg/gemm.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <utility>

#include "pyane/base/ceilings.h"
#include "pyane/base/cpu.h"
#include "pyane/base/divide.h"
#include "pyane/base/error.h"
#include "pyane/base/half.h"
#include "pyane/base/thread_pool.h"
#include "pyane/linalg/gemm_kernel.h"
#include "pyane/linalg/gemm_side.h"

// c is cut into blocks, one task each. A task walks along k in steps that keep its panels in the
// nearest caches and adds up in an fp32 block of its own; the last step rounds into c. Panels (mr
// rows of a, nr columns of b, as fp32, k outermost) come from one of three places:
//
//   packed once    a constant operand, in pack_a / pack_b; one of fp16 stays fp16 in the order of
//                  its panels, and is converted where it is needed: a product of few columns waits
//                  for its weights to come from memory
//   shared         needed by several tasks: packed before them, in parallel, into the scratch
//   own            needed by one task only (or too large to share): packed by it, where it needs it
//
// Each element is one sequential sum over k whatever the blocks are, so they can be chosen freely.

namespace pyane::linalg {

const GemmKernel& active_gemm_kernel() {
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAvx512:
      return kGemmKernelAvx512;
    case Isa::kAvx2:
      return kGemmKernelAvx2;
#elif defined(__aarch64__)
    case Isa::kNeon:
      return kGemmKernelNeon;
#endif
    default:
      return kGemmKernelScalar;
  }
}

namespace {

using Index = std::int64_t;

/// A step along k, when there are several: a panel of b of this length stays in the L1 cache.
constexpr Index kMaxPanelFloats = 8192;
/// Up to here one step is better, whose sums stay in registers.
constexpr Index kMaxStep = 256;
/// Of a block of c, which stays in the L2 cache beside the panels of a.
constexpr Index kMaxBlockRows = 280;  // 256, and whole panels.
constexpr Index kMaxBlockCols = 256;
constexpr Index kProductsPerNs = 32;
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

/// Fetches the lines of a tile that is written after the products: it comes from memory.
void prefetch(const GemmTarget& target, int rows, int cols) {
  const int n_lines = target.col_stride == 1 ? rows : target.row_stride == 1 ? cols : 0;
  const Index length = target.col_stride == 1 ? cols : rows;
  const Index bytes = target.is_half ? 2 : 4;
  const Index stride = (target.col_stride == 1 ? target.row_stride : target.col_stride) * bytes;
  const auto* line = static_cast<const std::byte*>(target.data);
  for (int i = 0; i < n_lines; ++i, line += stride) {
    for (Index at = 0; at < length * bytes; at += 64) __builtin_prefetch(line + at, 1);
    __builtin_prefetch(line + length * bytes - 1, 1);
  }
}

/// The same product seen from the other side: c^T = b^T @ a^T.
GemmOperand transposed(GemmOperand x) {
  std::swap(x.row_stride, x.col_stride);
  std::swap(x.row_offsets, x.col_offsets);
  return x;
}

}  // namespace

struct Gemm::Plan {
  GemmSpec spec;
  bool is_swapped = false;  ///< Runs as c^T = b^T @ a^T.
  const GemmKernel* kernel = nullptr;
  GemmSide a;
  GemmSide b;
  Index c_row_stride = 0;  ///< As it runs.
  Index c_col_stride = 0;
  bool bias_is_per_row = false;
  Index k_step = 1;
  Index n_k_steps = 1;
  Index own_a_floats = 0;
  Index own_b_floats = 0;
  Index sums_floats = 0;
  std::size_t scratch_bytes = 0;

  explicit Plan(GemmSpec wanted);
  bool shares(const GemmSide& side, Index other_blocks) const;
  void cut();
  void place();
  void run(const void* a_data, const void* b_data, const void* bias, void* c,
           std::byte* scratch) const;
  void run_task(std::size_t task, const void* a_data, const void* b_data, const void* bias, void* c,
                const std::byte* scratch) const;
};

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

void Gemm::Plan::run(const void* a_data, const void* b_data, const void* bias, void* c,
                     std::byte* scratch) const {
  if (a.n_panels == 0 || b.n_panels == 0 || spec.c.offsets.empty()) return;
  if (is_swapped) std::swap(a_data, b_data);
  if (a.is_shared) a.pack_all(a_data, reinterpret_cast<float*>(scratch + a.scratch_at));
  if (b.is_shared) b.pack_all(b_data, reinterpret_cast<float*>(scratch + b.scratch_at));
  const Index tasks = static_cast<Index>(spec.c.offsets.size()) * a.n_blocks * b.n_blocks;
  const Index products = static_cast<Index>(spec.c.offsets.size()) * spec.m * spec.n * spec.k;
  parallel_for(static_cast<std::size_t>(tasks), std::chrono::nanoseconds(products / kProductsPerNs),
               [&](std::size_t task) { run_task(task, a_data, b_data, bias, c, scratch); });
}

void Gemm::Plan::run_task(std::size_t task, const void* a_data, const void* b_data,
                          const void* bias, void* c, const std::byte* scratch) const {
  const auto blocks = static_cast<std::size_t>(a.n_blocks * b.n_blocks);
  const std::size_t product = task / blocks;
  const auto block = static_cast<Index>(task % blocks);
  // Neighbouring tasks share the block of a, whose panels are then still in the cache.
  const Index a_first = a.first_panel(block / b.n_blocks);
  const Index b_first = b.first_panel(block % b.n_blocks);
  const Index a_panels = a.first_panel(block / b.n_blocks + 1) - a_first;
  const Index b_panels = b.first_panel(block % b.n_blocks + 1) - b_first;

  float* own_a = thread_floats(own_a_floats + own_b_floats + sums_floats);
  float* own_b = own_a + own_a_floats;
  float* sums = own_b + own_b_floats;

  const auto panels_at = [&](const GemmSide& side, Index first) -> const float* {
    const float* all = side.packed != nullptr ? side.packed.get()
                       : side.is_shared ? reinterpret_cast<const float*>(scratch + side.scratch_at)
                                        : nullptr;
    if (all == nullptr) return nullptr;
    return all + static_cast<Index>(side.which[product]) * side.matrix_floats() +
           first * side.width * side.n_k;
  };
  const float* packed_a = panels_at(a, a_first);
  const float* packed_b = panels_at(b, b_first);
  // Converted while they are multiplied when nobody else needs them.
  const bool reads_halves = b.packed_halves != nullptr && packed_b == nullptr && a_panels == 1;

  GemmTarget target{.data = nullptr,
                    .is_half = spec.c.dtype == DType::kFp16,
                    .row_stride = c_row_stride,
                    .col_stride = c_col_stride,
                    .bias = nullptr,
                    .bias_is_half = spec.bias_dtype == DType::kFp16,
                    .bias_is_per_row = bias_is_per_row,
                    .scale = spec.scale,
                    .adds_to = spec.adds_to_c};
  const Index c_bytes = target.is_half ? 2 : 4;
  const Index bias_bytes = target.bias_is_half ? 2 : 4;
  const Index bias_first = spec.bias_offsets.empty() ? 0 : spec.bias_offsets[product];

  for (Index step = 0; step < n_k_steps; ++step) {
    const Index k = step * k_step;
    const Index n_k = std::min(k_step, spec.k - k);
    const bool is_last = step + 1 == n_k_steps;
    if (packed_a == nullptr && a.packed_halves == nullptr) {
      a.pack_panels(a_data, a.which[product], a_first, a_panels, k, n_k, own_a);
    }

    for (Index j = 0; j < b_panels; ++j) {
      const float* b_panel = own_b;
      if (packed_b != nullptr) {
        b_panel = packed_b + (j * b.n_k + k) * b.width;
      } else if (!reads_halves) {
        b.pack_panels(b_data, b.which[product], b_first + j, 1, k, n_k, own_b);
      }
      const Index col = (b_first + j) * b.width;
      const int cols = static_cast<int>(std::min<Index>(b.width, b.n_lanes - col));
      for (Index i = 0; i < a_panels; ++i) {
        const float* a_panel =
            packed_a != nullptr ? packed_a + (i * a.n_k + k) * a.width : own_a + i * a.width * n_k;
        GemmAhead ahead;
        const GemmAhead* fetched = nullptr;
        if (packed_a == nullptr && a.packed_halves != nullptr && j == 0) {
          a.pack_panels(a_data, a.which[product], a_first + i, 1, k, n_k,
                        own_a + i * a.width * n_k);
          // Weights come from memory: the next panel of this step, or the first of the next one.
          const bool is_next_step = i + 1 == a_panels;
          ahead = {reinterpret_cast<const char*>(
                       a.halves_at(a.which[product], is_next_step ? a_first : a_first + i + 1,
                                   is_next_step ? std::min(k + k_step, spec.k - n_k) : k)),
                   a.width * 2};
          fetched = &ahead;
        }
        const Index row = (a_first + i) * a.width;
        const int rows = static_cast<int>(std::min<Index>(a.width, a.n_lanes - row));
        float* tile = sums + (j * a_panels + i) * a.width * b.width;
        const auto multiply = [&](const GemmTarget* of_rows) {
          if (reads_halves) {
            kernel->multiply_halves(n_k, a_panel, b.halves_at(b.which[product], b_first + j, k),
                                    tile, rows, cols, step != 0, of_rows, fetched);
          } else {
            kernel->multiply(n_k, a_panel, b_panel, tile, rows, cols, step != 0, of_rows, fetched);
          }
        };
        if (!is_last) {
          multiply(nullptr);
          continue;
        }
        target.data = static_cast<std::byte*>(c) +
                      (spec.c.offsets[product] + row * c_row_stride + col * c_col_stride) * c_bytes;
        prefetch(target, rows, cols);
        if (spec.bias != GemmBias::kNone) {
          target.bias = static_cast<const std::byte*>(bias) +
                        (bias_first + (bias_is_per_row ? row : col)) * bias_bytes;
        }
        const bool has_rows = c_col_stride == 1;
        multiply(has_rows ? &target : nullptr);
        if (!has_rows) kernel->store(tile, rows, cols, target);
      }
    }
  }
}

Gemm::Gemm(GemmSpec spec) : plan_(std::make_unique<Plan>(std::move(spec))) {}
Gemm::Gemm(Gemm&&) noexcept = default;
Gemm& Gemm::operator=(Gemm&&) noexcept = default;
Gemm::~Gemm() = default;

const GemmSpec& Gemm::spec() const { return plan_->spec; }

namespace {

/// false when the other side is so narrow that packing takes no longer than reading fp32 panels.
bool pack_constant(GemmSide& side, const GemmSide& other, const void* data) {
  if (side.matrices.empty() || (other.n_panels <= 1 && !side.is_half)) return false;
  side.pack_for_good(data);
  return true;
}

}  // namespace

bool Gemm::pack_a(const void* a) {
  GemmSide& side = plan_->is_swapped ? plan_->b : plan_->a;
  const bool is_packed = pack_constant(side, plan_->is_swapped ? plan_->a : plan_->b, a);
  plan_->cut();
  plan_->place();
  return is_packed;
}

bool Gemm::pack_b(const void* b) {
  GemmSide& side = plan_->is_swapped ? plan_->a : plan_->b;
  const bool is_packed = pack_constant(side, plan_->is_swapped ? plan_->b : plan_->a, b);
  plan_->cut();
  plan_->place();
  return is_packed;
}

std::size_t Gemm::scratch_bytes() const { return plan_->scratch_bytes; }

void Gemm::run(const void* a, const void* b, const void* bias, void* c, std::byte* scratch) const {
  plan_->run(a, b, bias, c, scratch);
}

void Gemm::run(const void* a, const void* b, const void* bias, void* c) const {
  thread_local GrowingFloats memory;
  const auto n = static_cast<Index>(scratch_bytes() / sizeof(float));
  run(a, b, bias, c, reinterpret_cast<std::byte*>(memory.get(n)));
}

double measure_fma_gflops(int threads) {
  constexpr int kRuns = 10;
  constexpr Index kRounds = 200'000;
  const GemmKernel& kernel = active_gemm_kernel();
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    std::atomic<double> products = 0;
    const double seconds = seconds_on_threads(
        threads, [](int) {},
        [&](int) {
          float sink[2] = {1.0F, 1e-9F};
          products.store(kernel.multiply_add_only(kRounds, sink));  // The same for all.
        });
    best = std::max(best, 2 * products.load() * threads / seconds * 1e-9);
  }
  return best;
}

}  // namespace pyane::linalg
