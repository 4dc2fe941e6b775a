#include <array>
#include <atomic>
#include <cmath>
#include <numbers>
#include <random>

#include "pyane/base/half.h"
#include "pyane/emulator/kernels/float_row.h"
#include "pyane/emulator/kernels/registry.h"
#include "pyane/emulator/kernels/rows.h"
#include "pyane/emulator/scratch.h"

// Random numbers from a counter: element i of a result depends on the seed and i alone, so results
// are the same on any number of threads, and at every evaluation. A negative seed (the default)
// takes another one at each evaluation.

namespace pyane::emulator {
namespace {

/// Philox4x32 with 10 rounds. Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy
/// as 1, 2, 3", SC11; its constants, and the vectors of its authors' Random123 in the tests.
using Words = std::array<std::uint32_t, 4>;

Words philox(Words counter, std::array<std::uint32_t, 2> key) {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53;
  constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9;
  constexpr std::uint32_t kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = kMultiplier0 * counter[0];
    const std::uint64_t b = kMultiplier1 * counter[2];
    counter = {
        static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
        static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key = {key[0] + kWeyl0, key[1] + kWeyl1};
  }
  return counter;
}

class Generator {
 public:
  explicit Generator(std::uint64_t seed)
      : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)} {}

  /// Four words for elements 4 * block to 4 * block + 3.
  Words block(std::int64_t block) const {
    const auto count = static_cast<std::uint64_t>(block);
    return philox(
        {static_cast<std::uint32_t>(count), static_cast<std::uint32_t>(count >> 32), 0, 0}, key_);
  }

 private:
  std::array<std::uint32_t, 2> key_;
};

/// In [0, 1), a multiple of 2^-24: exact in fp32.
double uniform(std::uint32_t word) { return static_cast<double>(word >> 8) * 0x1p-24; }

/// Another seed at each call, in every process.
std::uint64_t fresh_seed() {
  static std::atomic<std::uint64_t> next = [] {
    std::random_device device;
    return std::uint64_t{device()} << 32 | device();
  }();
  return next.fetch_add(1, std::memory_order_relaxed);
}

class RandomStep : public Step {
 public:
  explicit RandomStep(const PrepareContext& context) : seed_(context.op.integer("seed")) {}

 protected:
  Generator generator() const {
    return Generator(seed_ >= 0 ? static_cast<std::uint64_t>(seed_) : fresh_seed());
  }

 private:
  std::int64_t seed_;
};

/// A result whose elements are drawn one by one, four from a block of the generator.
class Elementwise : public RandomStep {
 public:
  using RandomStep::RandomStep;

  void run(const StepArguments& arguments) const override {
    const TensorView& out = arguments.outputs[0];
    const std::int64_t count = out.count();
    const Generator random = generator();
    constexpr std::int64_t kCost = 64;  // Of a block, in elements of a copy.
    for_each_row((count + 3) / 4, kCost, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t block = begin; block < end; ++block) {
        const std::array<float, 4> values = draw(random.block(block));
        store_floats(values.data(), out.dtype, out.data, block * 4, 1,
                     std::min<std::int64_t>(4, count - block * 4));
      }
    });
  }

 protected:
  virtual std::array<float, 4> draw(const Words& words) const = 0;
};

/// low + (high - low) * u. A value that rounds to `high`, which is left out, becomes the one below.
class Uniform final : public Elementwise {
 public:
  explicit Uniform(const PrepareContext& context)
      : Elementwise(context), low_(context.op.real("low")), high_(context.op.real("high")) {
    last_ = static_cast<float>(high_);
    if (context.outputs[0].dtype == DType::kFp16) {
      // The next fp16 value: one bit pattern nearer to zero, or farther for negative numbers.
      const half_bits bits = float_to_half(last_);
      const bool is_negative = (bits & 0x8000U) != 0;
      const half_bits below = (bits & 0x7FFFU) == 0 ? half_bits{0x8001}
                              : is_negative         ? static_cast<half_bits>(bits + 1)
                                                    : static_cast<half_bits>(bits - 1);
      last_ = half_to_float(below);
    } else {
      last_ = std::nextafter(last_, -INFINITY);
    }
    last_ = std::max(last_, static_cast<float>(low_));
    is_half_ = context.outputs[0].dtype == DType::kFp16;
  }

 private:
  std::array<float, 4> draw(const Words& words) const override {
    std::array<float, 4> values{};
    for (std::size_t i = 0; i < 4; ++i) {
      const auto value = static_cast<float>(low_ + (high_ - low_) * uniform(words[i]));
      const float stored = is_half_ ? half_to_float(float_to_half(value)) : value;
      values[i] = stored > last_ ? last_ : value;
    }
    return values;
  }

  double low_;
  double high_;
  float last_ = 0.0F;
  bool is_half_ = false;
};

class Bernoulli final : public Elementwise {
 public:
  explicit Bernoulli(const PrepareContext& context)
      : Elementwise(context), prob_(context.op.real("prob")) {}

 private:
  std::array<float, 4> draw(const Words& words) const override {
    std::array<float, 4> values{};
    for (std::size_t i = 0; i < 4; ++i) values[i] = uniform(words[i]) < prob_ ? 1.0F : 0.0F;
    return values;
  }

  double prob_;
};

/// Box and Muller's transform of two pairs of words, in fp64.
class Normal final : public Elementwise {
 public:
  explicit Normal(const PrepareContext& context)
      : Elementwise(context), mean_(context.op.real("mean")), stddev_(context.op.real("stddev")) {}

 private:
  std::array<float, 4> draw(const Words& words) const override {
    std::array<float, 4> values{};
    for (std::size_t i = 0; i < 4; i += 2) {
      // (0, 1] for the logarithm.
      const double radius =
          std::sqrt(-2.0 * std::log((static_cast<double>(words[i]) + 1.0) * 0x1p-32));
      const double angle = 2.0 * std::numbers::pi * static_cast<double>(words[i + 1]) * 0x1p-32;
      values[i] = static_cast<float>(mean_ + stddev_ * radius * std::cos(angle));
      values[i + 1] = static_cast<float>(mean_ + stddev_ * radius * std::sin(angle));
    }
    return values;
  }

  double mean_;
  double stddev_;
};

/// Indices drawn with the weights of a row: the first whose sum of weights exceeds u times the
/// whole, in fp64.
class Categorical final : public RandomStep {
 public:
  explicit Categorical(const PrepareContext& context)
      : RandomStep(context),
        rows_(context.inputs[0], {context.inputs[0].rank - 1}),
        is_logits_(context.op.string("mode") == "logits"),
        size_(context.op.integer("size")) {}

  void run(const StepArguments& arguments) const override {
    const Generator random = generator();
    const std::int64_t n = rows_.length();
    const TensorView& out = arguments.outputs[0];
    for_each_row(rows_.n_rows(), n + 16 * size_, [&](std::int64_t begin, std::int64_t end) {
      const auto count = static_cast<std::size_t>(n);
      auto* sums =
          reinterpret_cast<double*>(thread_scratch(count * (sizeof(double) + sizeof(float))));
      auto* values = reinterpret_cast<float*>(sums + count);
      for (std::int64_t row = begin; row < end; ++row) {
        rows_.load(arguments.inputs[0].data, rows_.offset(row), 0, n, values);
        add_up(values, sums);
        for (std::int64_t i = 0; i < size_; ++i) {
          const std::int64_t element = row * size_ + i;
          const Words words = random.block(element / 4);
          const double wanted = uniform(words[static_cast<std::size_t>(element % 4)]) * sums[n - 1];
          const double* found = std::upper_bound(sums, sums + n, wanted);
          const auto index = static_cast<float>(std::min<std::int64_t>(found - sums, n - 1));
          store_floats(&index, out.dtype, out.data, element, 1, 1);
        }
      }
    });
  }

 private:
  void add_up(const float* values, double* sums) const {
    const std::int64_t n = rows_.length();
    const auto largest = static_cast<double>(*std::max_element(values, values + n));
    double sum = 0.0;
    for (std::int64_t i = 0; i < n; ++i) {
      const auto value = static_cast<double>(values[i]);
      sum += is_logits_ ? std::exp(value - largest) : value;
      sums[i] = sum;
    }
  }

  Rows rows_;
  bool is_logits_;
  std::int64_t size_;
};

template <typename Kernel>
std::unique_ptr<Step> prepare(const PrepareContext& context) {
  return std::make_unique<Kernel>(context);
}

KernelRecord record(std::string_view op, std::vector<std::string_view> operands, Prepare prepare) {
  return {.op = op, .operands = std::move(operands), .prepare = prepare, .is_random = true};
}

}  // namespace

std::span<const KernelRecord> random_kernels() {
  static const KernelRecord records[] = {
      record("random_bernoulli", {}, prepare<Bernoulli>),
      record("random_categorical", {"x"}, prepare<Categorical>),
      record("random_normal", {}, prepare<Normal>),
      record("random_uniform", {}, prepare<Uniform>),
  };
  return records;
}

}  // namespace pyane::emulator
