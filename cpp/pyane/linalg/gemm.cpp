#include "pyane/linalg/gemm.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "pyane/base/best_rate.h"
#include "pyane/base/cpu.h"
#include "pyane/base/thread_pool.h"
#include "pyane/linalg/gemm_kernel.h"
#include "pyane/linalg/gemm_plan.h"
#include "pyane/linalg/gemm_side.h"

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

constexpr double kProductsPerNs = 32;

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

}  // namespace

void Gemm::Plan::run(const void* a_data, const void* b_data, const void* bias, void* c,
                     std::byte* scratch) const {
  if (a.n_panels == 0 || b.n_panels == 0 || spec.c.offsets.empty()) return;
  if (is_swapped) std::swap(a_data, b_data);
  if (a.is_shared) a.pack_all(a_data, reinterpret_cast<float*>(scratch + a.scratch_at));
  if (b.is_shared) b.pack_all(b_data, reinterpret_cast<float*>(scratch + b.scratch_at));
  const Index tasks = static_cast<Index>(spec.c.offsets.size()) * a.n_blocks * b.n_blocks;
  const double products = static_cast<double>(spec.c.offsets.size()) *
                          static_cast<double>(spec.m * spec.n) * static_cast<double>(spec.k);
  parallel_for(static_cast<std::size_t>(tasks), estimated_work(products / kProductsPerNs),
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
  constexpr double kBudget = 40e-3;  // Seconds.
  constexpr Index kRounds = 2000;
  const GemmKernel& kernel = active_gemm_kernel();
  float sink[2] = {1.0F, 1e-9F};
  const double products = kernel.multiply_add_only(kRounds, sink);
  const auto body = [&](int, std::int64_t passes) {
    float own_sink[2] = {1.0F, 1e-9F};
    kernel.multiply_add_only(static_cast<Index>(passes) * kRounds, own_sink);
  };
  return best_rate(threads, 2 * products, kBudget, [](int) {}, body) * 1e-9;
}

}  // namespace pyane::linalg
