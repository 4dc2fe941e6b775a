#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "pyane/base/error.h"
#include "pyane/emulator/emulator_device.h"
#include "pyane/surface/surface.h"

// States and nested blocks: lifetimes and threads, for the sanitizers.

namespace {

using Surfaces = std::vector<std::shared_ptr<pyane::Surface>>;

// y = x added n times, in a loop that also counts in a state.
constexpr const char* kProgram = R"(program(1.3) {
  func main<ios18>(int32 n, tensor<fp32, [3]> x, state<tensor<int32, [1]>> runs) {
    int32 i, tensor<fp32, [3]> y = while_loop(loop_vars = (int32(0), x))
      condition(int32 a, tensor<fp32, [3]> b) { bool t = less(x = a, y = n); } -> (t),
      body(int32 c, tensor<fp32, [3]> d) {
        int32 e = add(x = c, y = int32(1));
        tensor<fp32, [3]> f = add(x = d, y = x);
        tensor<int32, [1]> old = read_state(input = runs);
        tensor<int32, [1]> new = add(x = old, y = int32(1));
        write_state(input = runs, data = new);
      } -> (e, f);
  } -> (y);
})";

struct Bound {
  explicit Bound(pyane::Kernel& kernel, const Surfaces& states = {}) {
    for (const pyane::TensorSpec& spec : kernel.inputs()) {
      inputs.push_back(pyane::create_surface(spec.n_bytes));
    }
    output = pyane::create_surface(kernel.outputs()[0].n_bytes);
    request = kernel.bind(inputs, {output}, states);
  }
  float run(std::int32_t n) {
    const std::array<float, 3> x = {1, 2, 3};
    std::memcpy(inputs[0]->data(), &n, sizeof(n));
    std::memcpy(inputs[1]->data(), x.data(), sizeof(x));
    request->evaluate();
    std::array<float, 3> y{};
    std::memcpy(y.data(), output->data(), sizeof(y));
    CHECK(y[2] == 3 * y[0]);
    return y[0];
  }
  std::int32_t runs() const {
    std::int32_t count = 0;
    std::memcpy(&count, request->states()[0]->data(), sizeof(count));
    return count;
  }

  Surfaces inputs;
  std::shared_ptr<pyane::Surface> output;
  std::shared_ptr<pyane::Request> request;
};

std::shared_ptr<pyane::Kernel> compiled() {
  return pyane::emulator::create_device()->compile({.text = kProgram, .weights = {}}, {});
}

void states_outlive_the_kernel() {
  auto kernel = compiled();
  Bound first(*kernel);
  CHECK(first.run(4) == 5.0F);
  Bound second(*kernel, first.request->states());
  Bound third(*kernel);
  kernel.reset();
  CHECK(second.run(2) == 3.0F);
  CHECK(third.run(1) == 2.0F);
  CHECK(first.runs() == 6);
  CHECK(third.runs() == 1);
}

void loops_in_several_threads() {
  auto kernel = compiled();
  std::array<bool, 4> is_right{};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < is_right.size(); ++i) {
    threads.emplace_back([&, i] {
      Bound bound(*kernel);
      is_right[i] = true;
      for (std::int32_t n = 0; n < 40; ++n) {
        is_right[i] = is_right[i] && bound.run(n) == static_cast<float>(n + 1);
      }
      is_right[i] = is_right[i] && bound.runs() == 780;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const bool right : is_right) CHECK(right);
}

void a_loop_without_end_stops_and_may_be_run_again() {
  auto kernel = compiled();
  Bound bound(*kernel);
  CHECK_THROWS(pyane::EvaluateError, bound.run(2'000'000));
  CHECK(bound.run(3) == 4.0F);
}

/// Blocks are recorded under their loop, once per turn, while others evaluate the same kernel.
void profiles_beside_evaluations() {
  const auto device = pyane::emulator::create_device({});
  const auto kernel = device->compile({.text = kProgram, .weights = {}}, {});
  Bound profiled(*kernel);
  Bound other(*kernel);
  profiled.run(5);
  std::thread beside([&] {
    for (int i = 0; i < 50; ++i) other.run(5);
  });
  for (int i = 0; i < 50; ++i) {
    const auto profile = profiled.request->profile();
    CHECK(profile.has_value());
    int n_adds = 0;
    for (const pyane::ProfileGroup& group : profile->groups) {
      const bool is_loop = group.operations == std::vector<std::string>{"while_loop"};
      CHECK(is_loop || group.operations.empty() || group.parent.has_value());
      CHECK(group.total_ns <= profile->total_ns);
      if (group.output == "f") n_adds = static_cast<int>(group.runs);
    }
    CHECK(n_adds == 5);
  }
  beside.join();
  CHECK(profiled.runs() == 5 + 50 * 5);
}

}  // namespace

int main() {
  profiles_beside_evaluations();
  states_outlive_the_kernel();
  loops_in_several_threads();
  a_loop_without_end_stops_and_may_be_run_again();
  return 0;
}
