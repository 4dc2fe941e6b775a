#include "pyane/emulator/kernels/gemm.h"

#include <string>
#include <utility>

#include "pyane/base/error.h"
#include "pyane/base/half.h"
#include "pyane/base/thread_pool.h"

namespace pyane::emulator {
namespace {

float load(const void* data, DType dtype, std::int64_t index) {
  if (dtype == DType::kFp16) return half_to_float(static_cast<const half_bits*>(data)[index]);
  return static_cast<const float*>(data)[index];
}

void store(void* data, DType dtype, std::int64_t index, float value) {
  if (dtype == DType::kFp16) {
    static_cast<half_bits*>(data)[index] = float_to_half(value);
  } else {
    static_cast<float*>(data)[index] = value;
  }
}

std::int64_t place(const GemmOperand& x, std::int64_t i, std::int64_t j) {
  if (x.row_offsets.empty()) return i * x.row_stride + j * x.col_stride;
  return x.row_offsets[static_cast<std::size_t>(i)] + x.col_offsets[static_cast<std::size_t>(j)];
}

std::vector<float> to_float(const GemmOperand& x, const void* data, std::int64_t rows,
                            std::int64_t cols) {
  std::vector<float> packed;
  for (const std::int64_t offset : x.offsets) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) {
        packed.push_back(load(data, x.dtype, offset + place(x, i, j)));
      }
    }
  }
  return packed;
}

void check(const GemmOperand& x, const char* name, std::size_t batch) {
  if (x.dtype != DType::kFp16 && x.dtype != DType::kFp32) {
    throw ShapeError(std::string("gemm: ") + name + " must be fp16 or fp32, got " +
                     std::string(dtype_name(x.dtype)));
  }
  if (x.offsets.size() != batch) {
    throw ShapeError(std::string("gemm: ") + name + " must have one offset per product (" +
                     std::to_string(batch) + "), got " + std::to_string(x.offsets.size()));
  }
}

}  // namespace

struct Gemm::Plan {
  GemmSpec spec;
  std::vector<float> packed_a;
  std::vector<float> packed_b;
};

Gemm::Gemm(GemmSpec spec) : plan_(std::make_unique<Plan>()) {
  if (spec.m < 0 || spec.n < 0 || spec.k < 0) {
    throw ShapeError("gemm: sizes must not be negative, got m=" + std::to_string(spec.m) +
                     " n=" + std::to_string(spec.n) + " k=" + std::to_string(spec.k));
  }
  check(spec.a, "a", spec.c.offsets.size());
  check(spec.b, "b", spec.c.offsets.size());
  check(spec.c, "c", spec.c.offsets.size());
  plan_->spec = std::move(spec);
}
Gemm::Gemm(Gemm&&) noexcept = default;
Gemm& Gemm::operator=(Gemm&&) noexcept = default;
Gemm::~Gemm() = default;

const GemmSpec& Gemm::spec() const { return plan_->spec; }

void Gemm::pack_a(const void* a) {
  plan_->packed_a = to_float(plan_->spec.a, a, plan_->spec.m, plan_->spec.k);
}
void Gemm::pack_b(const void* b) {
  plan_->packed_b = to_float(plan_->spec.b, b, plan_->spec.k, plan_->spec.n);
}

std::size_t Gemm::scratch_bytes() const { return 0; }

void Gemm::run(const void* a, const void* b, const void* bias, void* c, std::byte*) const {
  const GemmSpec& s = plan_->spec;
  const std::vector<float>& pa = plan_->packed_a;
  const std::vector<float>& pb = plan_->packed_b;
  const auto rows = static_cast<std::size_t>(s.m);
  parallel_for(rows * s.c.offsets.size(), [&](std::size_t task) {
    const std::size_t p = task / rows;
    const auto i = static_cast<std::int64_t>(task % rows);
    for (std::int64_t j = 0; j < s.n; ++j) {
      float sum = 0;
      for (std::int64_t l = 0; l < s.k; ++l) {
        const auto batch = static_cast<std::int64_t>(p);
        const float x = !pa.empty() ? pa[static_cast<std::size_t>((batch * s.m + i) * s.k + l)]
                                    : load(a, s.a.dtype, s.a.offsets[p] + place(s.a, i, l));
        const float y = !pb.empty() ? pb[static_cast<std::size_t>((batch * s.k + l) * s.n + j)]
                                    : load(b, s.b.dtype, s.b.offsets[p] + place(s.b, l, j));
        sum += x * y;
      }
      if (s.bias != GemmBias::kNone) {
        sum += load(bias, s.bias_dtype,
                    (s.bias_offsets.empty() ? 0 : s.bias_offsets[p]) +
                        (s.bias == GemmBias::kPerRow ? i : j));
      }
      store(c, s.c.dtype, s.c.offsets[p] + i * s.c.row_stride + j * s.c.col_stride, sum);
    }
  });
}

}  // namespace pyane::emulator
