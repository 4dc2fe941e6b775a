#include "pyane/base/ceilings.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "pyane/base/best_rate.h"
#include "pyane/base/ceiling_kernels.h"
#include "pyane/base/cpu.h"
#include "pyane/base/error.h"

namespace pyane {
namespace {

// Seconds of a measurement. A pass over memory may take longer by itself.
constexpr double kBudget = 10e-3;

void check_threads(int threads) {
  if (threads < 1) {
    throw ShapeError("measure: threads must be at least 1, got " + std::to_string(threads));
  }
}

/// 64-byte aligned floats, written so that they are where their thread is.
struct Buffer {
  struct Free {
    void operator()(float* owned) const { ::operator delete(owned, std::align_val_t(64)); }
  };
  std::unique_ptr<float, Free> memory;
  std::size_t n_floats = 0;

  void allocate(std::size_t n_bytes) {
    n_floats = n_bytes / sizeof(float);
    memory.reset(static_cast<float*>(
        ::operator new(std::max<std::size_t>(n_bytes, 64), std::align_val_t(64))));
    std::fill_n(memory.get(), n_floats, 1.0F);
  }
  float* at(std::size_t offset) const { return memory.get() + offset; }
};

/// GB/s of pass(buffer), which touches all of a thread's buffer once.
template <typename Pass>
double bandwidth(std::size_t n_bytes, int threads, const Pass& pass) {
  check_threads(threads);
  // A multiple of what every pass divides its buffer by.
  const std::size_t part = std::max<std::size_t>(
      n_bytes / static_cast<std::size_t>(threads) / (3 * 512) * (3 * 512), 3 * 512);
  std::vector<Buffer> buffers(static_cast<std::size_t>(threads));
  const auto prepare = [&](int thread) {
    Buffer& buffer = buffers[static_cast<std::size_t>(thread)];
    buffer.allocate(part);
    pass(buffer);
  };
  const auto body = [&](int thread, std::int64_t passes) {
    for (std::int64_t i = 0; i < passes; ++i) pass(buffers[static_cast<std::size_t>(thread)]);
  };
  return best_rate(threads, static_cast<double>(part), kBudget, prepare, body) * 1e-9;
}

void stream(float* target, const float* b, const float* c, std::size_t n) {
#if defined(__x86_64__)
  const __m128 factor = _mm_set1_ps(3);
  for (std::size_t i = 0; i < n; i += 4) {
    _mm_stream_ps(target + i,
                  _mm_add_ps(_mm_load_ps(b + i), _mm_mul_ps(factor, _mm_load_ps(c + i))));
  }
  _mm_sfence();
#else
  for (std::size_t i = 0; i < n; ++i) target[i] = b[i] + 3 * c[i];
#endif
}

DotProducts dot_products() {
#if defined(__x86_64__)
  if (active_isa() == Isa::kAvx512 && __builtin_cpu_supports("avx512vnni")) {
    return &dot_products_avx512;
  }
#elif defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
  if (active_isa() == Isa::kNeon) return &dot_products_neon;
#endif
  return nullptr;
}

}  // namespace

void round_trip(const half_bits* source, half_bits* target, std::size_t n) {
  std::size_t done = 0;
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAvx512:
      done = round_trip_avx512(source, target, n);
      break;
    case Isa::kAvx2:
      done = round_trip_avx2(source, target, n);
      break;
#elif defined(__aarch64__)
    case Isa::kNeon:
      done = round_trip_neon(source, target, n);
      break;
#endif
    default:
      break;
  }
  for (; done < n; ++done) target[done] = float_to_half(half_to_float(source[done]));
}

double measure_conversion_gbps(std::size_t n_bytes, int threads) {
  return bandwidth(n_bytes, threads, [](const Buffer& buffer) {
    const std::size_t half = buffer.n_floats / 2;  // Floats, of two elements each.
    round_trip(reinterpret_cast<const half_bits*>(buffer.at(0)),
               reinterpret_cast<half_bits*>(buffer.at(half)), 2 * half);
  });
}

double measure_copy_gbps(std::size_t n_bytes, int threads) {
  return bandwidth(n_bytes, threads, [](const Buffer& buffer) {
    const std::size_t half = buffer.n_floats / 2;
    std::memcpy(buffer.at(half), buffer.at(0), half * sizeof(float));
  });
}

double measure_triad_gbps(std::size_t n_bytes, int threads) {
  return bandwidth(n_bytes, threads, [](const Buffer& buffer) {
    const std::size_t third = buffer.n_floats / 3;
    stream(buffer.at(0), buffer.at(third), buffer.at(2 * third), third);
  });
}

double measure_int8_gops(int threads) {
  check_threads(threads);
  const DotProducts run = dot_products();
  if (run == nullptr) return 0;
  constexpr std::int64_t kRounds = 2000;
  std::vector<int> sinks(static_cast<std::size_t>(threads));
  const double products = run(kRounds, sinks.data());
  const auto body = [&](int thread, std::int64_t passes) {
    run(passes * kRounds, &sinks[static_cast<std::size_t>(thread)]);
  };
  return best_rate(threads, 2 * products, kBudget, [](int) {}, body) * 1e-9;
}

}  // namespace pyane
