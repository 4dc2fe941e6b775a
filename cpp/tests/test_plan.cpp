#include <cstddef>
#include <string>

#include "check.h"
#include "pyane/emulator/planner.h"
#include "pyane/mil/parser.h"
#include "pyane/mil/verifier.h"

// How much memory a plan takes, which no result shows.

namespace {

constexpr std::size_t kTensor = std::size_t{2} * 192 * 192;
/// Places in the arena begin with a cache line or a page.
constexpr std::size_t kRounding = 4096;
const std::string kKind = "tensor<fp16, [192, 192]>";

/// x times itself, the result times x, and so on: every result but the last is needed once.
std::string powers(int n) {
  std::string body;
  std::string last = "x";
  for (int i = 0; i < n; ++i) {
    const std::string name = i + 1 == n ? "y" : "p" + std::to_string(i);
    body += kKind + " " + name + " = matmul(x = " + last + ", y = x)[name = string(\"" + name +
            "\")];\n";
    last = name;
  }
  return body;
}

/// n products of x, all of which the last sums need.
std::string kept(int n) {
  std::string body;
  std::string last = "x";
  for (int i = 0; i < n; ++i) {
    const std::string name = "p" + std::to_string(i);
    body += kKind + " " + name + " = matmul(x = " + last + ", y = x);\n";
    last = name;
  }
  std::string sum = last;
  for (int i = 0; i + 1 < n; ++i) {
    const std::string name = i + 2 == n ? "y" : "s" + std::to_string(i);
    body += kKind + " " + name + " = matmul(x = " + sum + ", y = p" + std::to_string(i) + ");\n";
    sum = name;
  }
  return body;
}

std::size_t arena_bytes(const std::string& body, bool optimizes = true) {
  const pyane::mil::Program program = pyane::mil::parse("program(1.3) { func main<ios18>(" + kKind +
                                                        " x) {\n" + body + "} -> (y); }");
  const auto verified = pyane::mil::verify(program, program.functions[0], nullptr);
  const pyane::emulator::PlanOptions options{.optimizes = optimizes};
  return pyane::emulator::plan(verified, options).arena_bytes;
}

/// What steps need for themselves is in the arena, too: that of one product of this size.
std::size_t scratch_bytes() { return arena_bytes(powers(1)); }

void test_memory_is_shared_by_what_is_not_needed_at_the_same_time() {
  const std::size_t most = scratch_bytes() + 2 * (kTensor + kRounding);
  for (const int n : {3, 4, 20}) {
    CHECK(arena_bytes(powers(n)) <= most);
    CHECK(arena_bytes(powers(n), false) <= most);
  }
}

void test_what_is_needed_later_keeps_its_memory() {
  for (const int n : {4, 9}) {
    const auto tensors = static_cast<std::size_t>(n);
    CHECK(arena_bytes(kept(n)) >= (tensors - 1) * kTensor);
    CHECK(arena_bytes(kept(n)) <= scratch_bytes() + (tensors + 1) * (kTensor + kRounding));
  }
}

void test_renamed_and_fused_values_take_no_memory() {
  const std::string reshaped = "tensor<fp16, [2, 96, 192]>";
  const std::string body = reshaped +
                           " r = reshape(x = x, shape = tensor<int32, [3]>([2, 96, 192]));\n" +
                           reshaped + " a = relu(x = r);\n" + reshaped +
                           " b = mul(x = a, y = a);\n" + reshaped + " c = sqrt(x = b);\n" + kKind +
                           " y = reshape(x = c, shape = tensor<int32, [2]>([192, 192]));\n";
  CHECK(arena_bytes(body) == 0);
  CHECK(arena_bytes(body, false) >= kTensor);
}

}  // namespace

int main() {
  test_memory_is_shared_by_what_is_not_needed_at_the_same_time();
  test_what_is_needed_later_keeps_its_memory();
  test_renamed_and_fused_values_take_no_memory();
}
