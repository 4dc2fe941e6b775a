#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "pyane/base/error.h"
#include "pyane/mil/parser.h"
#include "pyane/mil/printer.h"

// The parser on damaged text, for the sanitizers: what it accepts must print and parse again to the
// same program; everything else must be a MilSyntaxError.

namespace {

using pyane::mil::parse;
using pyane::mil::print;
using pyane::mil::Program;

// True when `text` is a program.
bool check_text(std::string_view text) {
  // A copy of exactly its size: reading one byte too many is then seen.
  const std::vector<char> exact(text.begin(), text.end());
  Program program;
  try {
    program = parse({exact.data(), exact.size()}, "damaged");
  } catch (const pyane::MilSyntaxError& error) {
    CHECK(error.line >= 1 && error.column >= 1);
    return false;
  }
  const std::string printed = print(program);
  CHECK(parse(printed) == program);
  return true;
}

void check_prefixes(const std::string& text) {
  for (std::size_t length = 0; length < text.size(); ++length) {
    check_text(std::string_view(text).substr(0, length));
  }
}

// Random numbers that are the same with every standard library.
class Random {
 public:
  std::size_t below(std::size_t n) {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::size_t>((state_ >> 33U) % n);
  }

 private:
  std::uint64_t state_ = 42;
};

void check_mutations(const std::string& text, Random& random) {
  constexpr std::string_view kBytes =
      "()[]{}<>,;=:?\"\\-+.0123456789xpein \t\n\r@_aft\x00\x80\xff/#";
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = text;
    for (std::size_t n = 1 + random.below(3); n > 0; --n) {
      const std::size_t at = random.below(damaged.size());
      const char byte = kBytes[random.below(kBytes.size())];
      switch (random.below(4)) {
        case 0:
          damaged[at] = byte;
          break;
        case 1:
          damaged.insert(at, 1, byte);
          break;
        case 2:
          damaged.erase(at, 1 + random.below(8));
          break;
        default:
          damaged.insert(at, text, random.below(text.size()), 1 + random.below(40));
      }
      if (damaged.empty()) damaged = "x";
    }
    check_text(damaged);
  }
}

std::string repeat(std::string_view text, int n) {
  std::string result;
  for (int i = 0; i < n; ++i) result += text;
  return result;
}

void check_deep_nesting() {
  const int n = 100'000;
  const std::string type_place = "program(1.3){func main(";
  for (const std::string_view opening : {"list<", "tuple<", "dict<", "state<", "tensor<"}) {
    CHECK_THROWS(pyane::MilSyntaxError, parse(type_place + repeat(opening, n)));
  }
  for (const std::string_view opening : {"[", "(", "{", "{{", "("}) {
    CHECK_THROWS(pyane::MilSyntaxError,
                 parse("program(1.3)[a = list<list<int32>>(" + repeat(opening, n)));
    CHECK_THROWS(pyane::MilSyntaxError,
                 parse("program(1.3)[a = tensor<int32, [1, 1]>(" + repeat(opening, n)));
  }
  CHECK_THROWS(pyane::MilSyntaxError, parse("program(1.3){func main(){" + repeat("x() b() {", n)));
  // 61 lists within the body's and the literal's own levels still fit.
  const std::string deep = "program(1.3)[a = " + repeat("list<", 60) + "int32" + repeat(">", 60) +
                           "(" + repeat("[", 60) + "1" + repeat("]", 60) + ")]{}";
  CHECK(check_text(deep));
}

void check_large_claims() {
  // Declared sizes must cost nothing.
  CHECK_THROWS(pyane::MilSyntaxError,
               parse("program(1.3)[a = tensor<fp64, [1000000000, 1000]>([[1]])]{}"));
  CHECK_THROWS(pyane::MilSyntaxError,
               parse("program(1.3)[a = tensor<string, [2147483647]>([\"\"])]{}"));
  CHECK_THROWS(pyane::MilSyntaxError, parse("program(1.3)[a = list<int32, 2147483647>([1])]{}"));
}

}  // namespace

int main() {
  Random random;
  int n_files = 0;
  const std::filesystem::path data = PYANE_TEST_DATA;
  for (const char* const folder : {"valid", "invalid"}) {
    for (const auto& entry : std::filesystem::directory_iterator(data / "mil" / folder)) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string text(std::istreambuf_iterator<char>(file), {});
      CHECK(!text.empty());
      CHECK(check_text(text) == (std::string_view(folder) == "valid"));
      ++n_files;
      if (std::string_view(folder) != "valid") continue;
      check_prefixes(text);
      check_mutations(text, random);
    }
  }
  CHECK(n_files > 40);
  check_deep_nesting();
  check_large_claims();
  return 0;
}
