#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "check.h"
#include "pyane/base/thread_pool.h"
#include "pyane/emulator/emulator_device.h"

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

void evaluating_allocates_nothing() {
  auto device = pyane::emulator::create_device();
  auto kernel = device->compile({.text = kProgram, .weights = {}}, {});
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

}  // namespace

int main() {
  pyane::set_num_threads(1);
  evaluating_allocates_nothing();
  return 0;
}
