#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "pyane/base/half.h"
#include "pyane/base/thread_pool.h"
#include "pyane/emulator/emulator_device.h"
#include "pyane/engine/request_list.h"
#include "pyane/train/weight_gradient_queue.h"

// All that uses threads at once, on tensors large enough that every step is shared out: for
// ThreadSanitizer above all. Bits must be those of one thread alone.

namespace {

using pyane::half_bits;

constexpr std::size_t kElements = 256 * 512;

std::string program(const std::string& body) {
  return "program(1.3)\n{\n  func main<ios18>(tensor<fp16, [1, 256, 1, 512]> x) {\n" + body +
         "\n  } -> (y);\n}\n";
}

// Packed and shared operands of products, an image, chains along both axes, a transposition.
const std::string kLarge = program(R"(
    tensor<fp16, [256, 512]> m = reshape(x = x, shape = tensor<int32, [2]>([256, 512]))[name = string("m")];
    tensor<fp16, [512, 256]> t = transpose(x = m, perm = tensor<int32, [2]>([1, 0]))[name = string("t")];
    tensor<fp16, [512, 256]> g = silu(x = t)[name = string("g")];
    tensor<fp16, [256, 256]> p = matmul(x = m, y = g)[name = string("p")];
    tensor<fp16, [256, 256]> q = mul(x = p, y = fp16(0.001))[name = string("q")];
    tensor<fp16, [256, 256]> s = softmax(x = q, axis = int32(0))[name = string("s")];
    tensor<fp16, [256, 512]> r = matmul(x = s, y = m)[name = string("r")];
    tensor<fp16, [256, 512]> n = softmax(x = r, axis = int32(-1))[name = string("n")];
    tensor<fp16, [1, 8, 32, 512]> i = reshape(x = n, shape = tensor<int32, [4]>([1, 8, 32, 512]))[name = string("i")];
    tensor<fp16, [8, 8, 3, 3]> w = fill(shape = tensor<int32, [4]>([8, 8, 3, 3]), value = fp16(0.25))[name = string("w")];
    tensor<fp16, [1, 8, 32, 512]> c = conv(x = i, weight = w, pad_type = string("same"))[name = string("c")];
    tensor<fp16, [1, 8, 32, 512]> y = add(x = c, y = i)[name = string("y")];)");

const std::string kSmall = program(R"(
    tensor<fp16, [1, 256, 1, 512]> y = add(x = x, y = fp16(1))[name = string("y")];)");

std::shared_ptr<pyane::Surface> surface() {
  auto made = pyane::create_surface(kElements * sizeof(half_bits));
  auto* values = reinterpret_cast<half_bits*>(made->data());
  for (std::size_t i = 0; i < kElements; ++i) {
    values[i] = pyane::float_to_half(static_cast<float>(i % 61) * 0.0625F - 2);
  }
  return made;
}

struct Bound {
  std::shared_ptr<pyane::Surface> x = surface();
  std::shared_ptr<pyane::Surface> y = surface();
  std::shared_ptr<pyane::Request> request;

  explicit Bound(pyane::Kernel& kernel) : request(kernel.bind({x}, {y})) {}
};

using Kernel = std::shared_ptr<pyane::Kernel>;

/// Evaluations of one kernel on requests of their own.
void evaluate(const Kernel& kernel, const pyane::Surface& expected) {
  Bound bound(*kernel);
  for (int round = 0; round < 4; ++round) {
    std::memset(bound.y->data(), 0, bound.y->n_bytes());
    bound.request->evaluate();
    CHECK(std::memcmp(bound.y->data(), expected.data(), kElements * sizeof(half_bits)) == 0);
  }
}

/// Chains of requests, each of which adds one to what the one before it made.
void evaluate_lists(const Kernel& kernel) {
  constexpr std::size_t kChains = 3;
  constexpr int kLength = 6;
  std::vector<std::shared_ptr<pyane::Surface>> first;
  std::vector<std::shared_ptr<pyane::Surface>> last;
  std::vector<std::shared_ptr<pyane::Request>> requests;
  for (std::size_t chain = 0; chain < kChains; ++chain) first.push_back(surface());
  last = first;
  for (int i = 0; i < kLength; ++i) {
    for (auto& at : last) {
      auto next = surface();
      requests.push_back(kernel->bind({at}, {next}));
      at = next;
    }
  }
  pyane::evaluate_in_order(requests);
  for (std::size_t chain = 0; chain < kChains; ++chain) {
    const auto* from = reinterpret_cast<const half_bits*>(first[chain]->data());
    const auto* to = reinterpret_cast<const half_bits*>(last[chain]->data());
    for (std::size_t i = 0; i < kElements; ++i) {
      CHECK(pyane::half_to_float(to[i]) == pyane::half_to_float(from[i]) + kLength);
    }
  }
}

void compute_weight_gradients(int n_workers) {
  constexpr std::size_t kSide = 96;
  std::vector<float> dw(kSide * kSide);
  const std::vector<half_bits> ones(kSide * kSide, 0x3C00);
  const pyane::WeightGradientFactor factor{.data = ones.data(),
                                           .dtype = pyane::DType::kFp16,
                                           .batch_stride = ones.size(),
                                           .row_stride = kSide};
  pyane::WeightGradientQueue queue(n_workers);
  for (int i = 0; i < 12; ++i) {
    queue.submit(
        {.dw = dw, .rows = kSide, .columns = kSide, .positions = kSide, .dy = factor, .x = factor});
  }
  queue.wait();
  for (const float value : dw) CHECK(value == 12 * kSide);
}

}  // namespace

int main() {
  auto device = pyane::emulator::create_device();
  const Kernel large = device->compile({.text = kLarge, .weights = {}}, {});
  const Kernel small = device->compile({.text = kSmall, .weights = {}}, {});
  pyane::set_num_threads(1);
  Bound alone(*large);
  alone.request->evaluate();

  pyane::set_num_threads(4);
  evaluate(large, *alone.y);
  std::vector<std::thread> threads;
  threads.emplace_back([&] { evaluate(large, *alone.y); });
  threads.emplace_back([&] { evaluate(large, *alone.y); });
  threads.emplace_back([&] { evaluate_lists(small); });
  threads.emplace_back([] { compute_weight_gradients(0); });
  threads.emplace_back([] { compute_weight_gradients(2); });
  threads.emplace_back([&] {  // Packs on the pool, too.
    const Kernel own = device->compile({.text = kLarge, .weights = {}}, {});
    evaluate(own, *alone.y);
  });
  for (std::thread& thread : threads) thread.join();
  return 0;
}
