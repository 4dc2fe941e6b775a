#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "pyane/base/error.h"
#include "pyane/base/half.h"
#include "pyane/emulator/emulator_device.h"

// Lifetimes and threads of kernels, requests and surfaces, for the sanitizers. What programs
// compute is tested from Python.

namespace {

using pyane::half_bits;

std::string program(const std::string& body, const std::string& outputs) {
  return "program(1.3)\n{\n  func main<ios18>(tensor<fp16, [8, 100]> w, tensor<fp16, [8, 100]> x) "
         "{\n" +
         body + "\n  } -> (" + outputs + ");\n}\n";
}

// A fused chain, views, a reduction, a product and a concat.
const std::string kProgram = program(R"(
    tensor<fp16, [8, 100]> a = mul(x = x, y = w)[name = string("a")];
    tensor<fp16, [8, 100]> b = silu(x = a)[name = string("b")];
    tensor<fp16, [100, 8]> t = transpose(x = b, perm = tensor<int32, [2]>([1, 0]))[name = string("t")];
    tensor<fp16, [8, 8]> p = matmul(x = x, y = t)[name = string("p")];
    tensor<fp16, [8, 8]> s = softmax(x = p, axis = int32(-1))[name = string("s")];
    tensor<fp16, [8, 1]> m = reduce_max(x = b, axes = tensor<int32, [1]>([1]), keep_dims = bool(true))[name = string("m")];
    tensor<fp16, [8, 109]> y = concat(values = (s, m, b), axis = int32(1))[name = string("y")];)",
                                     "y");

void fill(pyane::Surface& surface, float first, float step) {
  auto* values = reinterpret_cast<half_bits*>(surface.data());
  for (int i = 0; i < 800; ++i) {
    values[i] = pyane::float_to_half(first + step * static_cast<float>(i % 37));
  }
}

struct Bound {
  std::vector<std::shared_ptr<pyane::Surface>> inputs;
  std::shared_ptr<pyane::Surface> output;
  std::shared_ptr<pyane::Request> request;

  explicit Bound(pyane::Kernel& kernel, float first) {
    for (std::size_t i = 0; i < kernel.inputs().size(); ++i) {
      inputs.push_back(pyane::create_surface(kernel.surface_bytes()));
      fill(*inputs.back(), first, 0.0625F);
    }
    output = pyane::create_surface(kernel.surface_bytes());
    request = kernel.bind(inputs, {output});
  }
  std::vector<std::byte> result(std::size_t n_bytes) const {
    return {output->data(), output->data() + n_bytes};
  }
};

void requests_outlive_kernel_and_device() {
  auto device = pyane::emulator::create_device();
  auto kernel = device->compile({.text = kProgram, .weights = {}}, {});
  const std::size_t n_bytes = kernel->outputs()[0].n_bytes;
  Bound bound(*kernel, -1.0F);
  bound.request->evaluate();
  const std::vector<std::byte> expected = bound.result(n_bytes);
  kernel.reset();
  device.reset();
  std::memset(bound.output->data(), 0, n_bytes);
  bound.request->evaluate();
  CHECK(bound.result(n_bytes) == expected);
}

void evaluations_at_once() {
  auto device = pyane::emulator::create_device();
  auto kernel = device->compile({.text = kProgram, .weights = {}}, {});
  const std::size_t n_bytes = kernel->outputs()[0].n_bytes;
  std::vector<std::thread> threads;
  std::array<bool, 4> is_right{};
  for (std::size_t i = 0; i < is_right.size(); ++i) {
    threads.emplace_back([&, i] {
      Bound bound(*kernel, static_cast<float>(i));
      bound.request->evaluate();
      const std::vector<std::byte> expected = bound.result(n_bytes);
      is_right[i] = true;
      for (int k = 0; k < 50; ++k) {
        std::memset(bound.output->data(), 0, n_bytes);
        bound.request->evaluate();
        is_right[i] = is_right[i] && bound.result(n_bytes) == expected;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const bool right : is_right) CHECK(right);
}

void unloading_while_evaluating() {
  auto device = pyane::emulator::create_device();
  auto kernel = device->compile({.text = kProgram, .weights = {}}, {});
  Bound bound(*kernel, 0.5F);
  std::thread thread([&] {
    try {
      for (;;) bound.request->evaluate();
    } catch (const pyane::EvaluateError&) {
    }
  });
  kernel->unload();
  thread.join();
  CHECK(!kernel->is_loaded());
  CHECK_THROWS(pyane::EvaluateError, bound.request->evaluate());
  CHECK_THROWS(pyane::EvaluateError, kernel->bind(bound.inputs, {bound.output}));
  kernel->unload();
}

void many_kernels_come_and_go() {
  auto device = pyane::emulator::create_device();
  for (int i = 0; i < 50; ++i) {
    auto kernel = device->compile({.text = kProgram, .weights = {}}, {});
    Bound bound(*kernel, 1.0F);
    bound.request->evaluate();
  }
}

void bad_index_reads_nothing() {
  auto device = pyane::emulator::create_device();
  const std::string text = program(R"(
    tensor<int32, [8, 100]> i = cast(x = w, dtype = string("int32"))[name = string("i")];
    tensor<fp16, [8, 100]> y = gather_along_axis(x = x, indices = i, axis = int32(0))[name = string("y")];)",
                                   "y");
  auto kernel = device->compile({.text = text, .weights = {}}, {});
  Bound bound(*kernel, 0.0F);
  fill(*bound.inputs[0], 0.0F, 0.0F);
  bound.request->evaluate();
  fill(*bound.inputs[0], 60000.0F, 0.0F);
  CHECK_THROWS(pyane::EvaluateError, bound.request->evaluate());
  fill(*bound.inputs[0], -8.0F, 0.0F);
  bound.request->evaluate();
}

}  // namespace

int main() {
  requests_outlive_kernel_and_device();
  evaluations_at_once();
  unloading_while_evaluating();
  many_kernels_come_and_go();
  bad_index_reads_nothing();
  return 0;
}
