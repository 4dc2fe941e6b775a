#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "pyane/base/thread_pool.h"
#include "pyane/emulator/emulator_device.h"
#include "pyane/engine/request_list.h"

// Evaluating allocates nothing, whatever steps a plan has: counted by operators new of our own.

namespace {

std::atomic<long> n_allocations = 0;

void* allocate(std::size_t n_bytes, std::size_t alignment) {
  ++n_allocations;
  n_bytes = (n_bytes + alignment - 1) / alignment * alignment;
  void* const memory = std::aligned_alloc(alignment, n_bytes == 0 ? alignment : n_bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t n) { return allocate(n, alignof(std::max_align_t)); }
void* operator new[](std::size_t n) { return allocate(n, alignof(std::max_align_t)); }
void* operator new(std::size_t n, std::align_val_t a) {
  return allocate(n, static_cast<std::size_t>(a));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace {

// One line per kind of step: a chain of elements, chains along either axis, a product, a copy that
// strides cannot express, a reduction that is not fused, a concat.
const std::string kProgram = R"(program(1.3)
{
  func main<ios18>(tensor<fp16, [1, 96, 1, 80]> w, tensor<fp16, [1, 96, 1, 80]> x) {
    tensor<fp16, [1, 96, 1, 80]> a = mul(x = x, y = w)[name = string("a")];
    tensor<fp16, [1, 96, 1, 80]> b = silu(x = a)[name = string("b")];
    tensor<fp16, [1, 96, 1, 80]> s = softmax(x = b, axis = int32(1))[name = string("s")];
    tensor<fp16, [1, 96, 1, 80]> t = softmax(x = x, axis = int32(-1))[name = string("t")];
    tensor<fp16, [1, 1, 96, 80]> u = reshape(x = s, shape = tensor<int32, [4]>([1, 1, 96, 80]))[name = string("u")];
    tensor<fp16, [1, 1, 96, 80]> v = reshape(x = t, shape = tensor<int32, [4]>([1, 1, 96, 80]))[name = string("v")];
    tensor<fp16, [1, 1, 96, 96]> p = matmul(x = u, y = v, transpose_y = bool(true))[name = string("p")];
    tensor<fp16, [1, 1, 96, 96]> q = transpose(x = p, perm = tensor<int32, [4]>([0, 1, 3, 2]))[name = string("q")];
    tensor<fp16, [1, 9216]> r = reshape(x = q, shape = tensor<int32, [2]>([1, 9216]))[name = string("r")];
    tensor<fp16, [1]> l = reduce_log_sum_exp(x = r, axes = tensor<int32, [1]>([1]), keep_dims = bool(false))[name = string("l")];
    tensor<fp16, [9216]> f = reshape(x = r, shape = tensor<int32, [1]>([9216]))[name = string("f")];
    tensor<fp16, [9217]> y = concat(values = (f, l), axis = int32(0))[name = string("y")];
  } -> (y);
}
)";

// Attention written as several operations, its mask a constant; convolutions in place, by pairs and
// packed; a gather.
const std::string kLayers = R"(program(1.3)
{
  func main<ios18>(tensor<fp16, [2, 70, 32]> k, tensor<fp16, [2, 70, 32]> q, tensor<fp16, [1, 8, 14, 40]> v) {
    tensor<fp16, [70, 70]> ones = fill(shape = tensor<int32, [2]>([70, 70]), value = fp16(-30000))[name = string("ones")];
    tensor<fp16, [70, 70]> mask = band_part(x = ones, lower = int32(0), upper = int32(-1))[name = string("mask")];
    tensor<fp16, [2, 70, 32]> w = reshape(x = v, shape = tensor<int32, [3]>([2, 70, 32]))[name = string("w")];
    tensor<fp16, [2, 70, 70]> p = matmul(x = q, y = k, transpose_y = bool(true))[name = string("p")];
    tensor<fp16, [2, 70, 70]> a = mul(x = p, y = fp16(0.125))[name = string("a")];
    tensor<fp16, [2, 70, 70]> b = add(x = a, y = mask)[name = string("b")];
    tensor<fp16, [2, 70, 70]> s = softmax(x = b, axis = int32(-1))[name = string("s")];
    tensor<fp16, [2, 70, 32]> r = matmul(x = s, y = w)[name = string("r")];
    tensor<fp16, [1, 8, 14, 40]> i = reshape(x = r, shape = tensor<int32, [4]>([1, 8, 14, 40]))[name = string("i")];
    tensor<fp16, [8, 8, 3, 3]> f = fill(shape = tensor<int32, [4]>([8, 8, 3, 3]), value = fp16(0.25))[name = string("f")];
    tensor<fp16, [1, 8, 14, 40]> c = conv(x = i, weight = f, pad_type = string("same"))[name = string("c")];
    tensor<fp16, [1, 8, 7, 20]> d = conv(x = c, weight = f, pad_type = string("same"), strides = tensor<int32, [2]>([2, 2]))[name = string("d")];
    tensor<fp16, [16, 8, 1, 1]> g = fill(shape = tensor<int32, [4]>([16, 8, 1, 1]), value = fp16(0.25))[name = string("g")];
    tensor<fp16, [1, 16, 7, 20]> e = conv(x = d, weight = g, pad_type = string("valid"))[name = string("e")];
    tensor<fp16, [1, 16, 3, 20]> y = gather(x = e, indices = tensor<int32, [3]>([6, 0, 6]), axis = int32(2))[name = string("y")];
  } -> (y);
}
)";

const std::string kAddition = R"(program(1.3)
{
  func main<ios18>(tensor<fp16, [1, 256]> x) {
    tensor<fp16, [1, 256]> y = add(x = x, y = fp16(1))[name = string("y")];
  } -> (y);
}
)";

void evaluating_allocates_nothing(const std::string& program) {
  auto device = pyane::emulator::create_device();
  auto kernel = device->compile({.text = program, .weights = {}}, {});
  std::vector<std::shared_ptr<pyane::Surface>> inputs;
  for (std::size_t i = 0; i < kernel->inputs().size(); ++i) {
    inputs.push_back(pyane::create_surface(kernel->surface_bytes()));
  }
  auto request = kernel->bind(inputs, {pyane::create_surface(kernel->surface_bytes())});
  request->evaluate();  // A thread's scratch memory comes with its first evaluation.
  const long before = n_allocations;
  for (int i = 0; i < 5; ++i) request->evaluate();
  CHECK(n_allocations == before);
  CHECK(before > 0);
}

/// A graph of requests keeps its memory, whichever order threads take them in: its first evaluation
/// is alone, which needs least.
void lists_allocate_nothing() {
  constexpr std::size_t kTree = 41;
  pyane::set_num_threads(2);
  auto device = pyane::emulator::create_device();
  auto kernel = device->compile({.text = kAddition, .weights = {}}, {});
  std::vector<std::shared_ptr<pyane::Request>> requests;
  for (int tree = 0; tree < 6; ++tree) {  // Forty wait for one, six times.
    const auto x = pyane::create_surface(kernel->surface_bytes());
    const auto y = pyane::create_surface(kernel->surface_bytes());
    requests.push_back(kernel->bind({x}, {y}));
    for (std::size_t i = 1; i < kTree; ++i) {
      requests.push_back(kernel->bind({y}, {pyane::create_surface(kernel->surface_bytes())}));
    }
  }
  std::atomic<int> present = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  pyane::parallel_for(2, [&](std::size_t i) {
    ++present;
    while (present < 2 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    requests[i * kTree]->evaluate();  // Each thread has its scratch memory now.
  });
  const std::thread::id caller = std::this_thread::get_id();
  bool is_warm = false;
  while (!is_warm) {
    pyane::parallel_for(2, [&](std::size_t) {  // What is inside one shares nothing out.
      if (std::this_thread::get_id() != caller || is_warm) return;
      pyane::evaluate_in_order(requests);
      is_warm = true;
    });
  }
  const long before = n_allocations;
  for (int i = 0; i < 50; ++i) pyane::evaluate_in_order(requests);
  CHECK(n_allocations == before);
}

}  // namespace

int main() {
  pyane::set_num_threads(1);
  evaluating_allocates_nothing(kProgram);
  evaluating_allocates_nothing(kLayers);
  lists_allocate_nothing();
  return 0;
}
