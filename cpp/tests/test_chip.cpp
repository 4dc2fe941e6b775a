// The linter on programs that nobody would write: for the sanitizers.

#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "pyane/ane/explain_refusal.h"
#include "pyane/base/error.h"
#include "pyane/chip/check.h"
#include "pyane/chip/native_ops.h"
#include "pyane/chip/rules.h"

using namespace pyane;

namespace {

const std::string kHead =
    "program(1.3) [buildInfo = dict<string, string>({{\"coremlc-version\", \"3505.4.1\"}})]\n{\n";

// Operations that many rules look at, with arguments, after one that no verifier knows.
const std::string kBusy = kHead + R"(
func main<ios18>(tensor<fp16, [2, 64, 8, 64]> x, state<tensor<fp16, [?, 3]>> s) {
tensor<fp16, [2, 64, 8, 64]> u = frobnicate(p = x);
tensor<fp16, [1, 1, 3, 3]> w = const()[val = tensor<fp16, [1, 1, 3, 3]>(BLOBFILE(path = string("@model_path/w.bin"), offset = uint64(64)))];
tensor<fp16, [2, 64, 8, 32]> a = slice_by_size(x = u, begin = tensor<int32, [4]>([0, 0, 0, 32]), size = tensor<int32, [4]>([2, 64, 8, 32]));
tensor<fp16, [2, 64, 8, 32]> b = slice_by_index(x = u, begin = tensor<int32, [4]>([0, 0, 0, 32]), end = tensor<int32, [4]>([2, 64, 8, 64]));
tensor<fp16, [2, 64, 8, 64]> c = concat(values = (a, b), axis = int32(3), interleave = bool(false));
tensor<fp16, [2, 64, 6, 62]> d = conv(x = c, weight = w, groups = int32(64));
tensor<fp16, [2, 64, 1, 1]> e = reduce_sum(x = d, axes = tensor<int32, [2]>([2, 3]), keep_dims = bool(true));
tensor<fp16, [2, 64, 1, 1]> f = rsqrt(x = e);
tensor<fp16, [2, 64, 1, 1]> g = mul(x = f, y = fp16(0));
tensor<fp16, [2, 64, 1, 1]> h = topk(x = g, k = int32(3), axis = int32(-1));
tensor<fp16, [2, 64, 64, 64]> i = scaled_dot_product_attention(query = x, key = x, value = x, attn_mask = x);
tensor<fp16, [2, 64, 8, 64]> j = pad(x = x, pad = tensor<int32, [8]>([0, 0, 1, 1, 0, 0, 0, 0]), mode = string("reflect"));
tensor<fp16, [64, 64]> k = constexpr_lut_to_dense(indices = tensor<uint2, [64, 64]>(BLOBFILE(path = string("@model_path/w.bin"), offset = uint64(18446744073709551615))), lut = tensor<fp16, [1, 1, 4, 1]>([[[[0], [1], [2], [3]]]]));
tensor<fp16, [2, 64, 8, 64]> l = linear(x = x, weight = k);
}  -> (l, x);
}
)";

mil::Model model_of(const std::string& text, const std::vector<std::byte>& file) {
  mil::Model model{.text = text, .weights = {}, .source_name = "busy.mil"};
  model.weights["@model_path/w.bin"] = {nullptr, file};
  return model;
}

std::vector<const chip::Profile*> every_chip() {
  std::vector<const chip::Profile*> chips;
  for (const chip::Profile& profile : chip::profiles()) chips.push_back(&profile);
  return chips;
}

void test_busy_program() {
  std::vector<std::byte> file(128 + 18);
  const auto found = chip::check(model_of(kBusy, file), every_chip());
  CHECK(found.size() > 18 * 10);
  for (const chip::Diagnostic& d : found) {
    CHECK(chip::find_rule(d.rule) != nullptr);
    CHECK(!d.message.empty());
    CHECK(!chip::to_string(d).empty());
  }
}

// Every prefix of the text, and every line left out: whatever parses is linted.
void test_damaged_programs() {
  const std::vector<std::byte> file(70);
  const auto chips = every_chip();
  int linted = 0;
  const auto lint = [&](const std::string& text) {
    try {
      chip::check(model_of(text, file), chips);
      ++linted;
    } catch (const Error&) {
    }
  };
  for (std::size_t n = 0; n < kBusy.size(); n += 37) lint(kBusy.substr(0, n));
  for (std::size_t begin = 0; begin < kBusy.size();) {
    const std::size_t end = kBusy.find('\n', begin) + 1;
    lint(kBusy.substr(0, begin) + kBusy.substr(end));
    begin = end;
  }
  // Digits replaced: dimensions that disagree, offsets, numbers out of range.
  std::uint32_t state = 1;
  for (int round = 0; round < 600; ++round) {
    std::string text = kBusy;
    state = state * 1664525U + 1013904223U;
    const std::size_t at = text.find_first_of("0123456789", (state >> 8) % text.size());
    if (at != std::string::npos) text[at] = static_cast<char>('0' + (state >> 28) % 10);
    lint(text);
  }
  CHECK(linted > 100);
}

void test_explaining_a_refusal() {
  const std::string text = kHead +
                           "func main<ios18>(tensor<fp16, [1, 64]> x) {\n"
                           "tensor<fp16, [1, 64]> y = sin(x = x);\n} -> (y);\n}\n";
  const mil::Model model{.text = text, .weights = {}, .source_name = "sin.mil"};
  const std::string told = ane::explain_refusal(model, "h13g", "");
  CHECK(told == " Perhaps because: 4:1 sin needs an M3 or newer: use a polynomial (ANE002).");
  CHECK(ane::explain_refusal(model, "h17", "").empty());
  CHECK(ane::explain_refusal(model, "x99", "").empty());
  CHECK(ane::explain_refusal(model, "", "").empty());
  CHECK(ane::explain_refusal({.text = "program(", .weights = {}}, "h13g", "").empty());
}

void test_tables() {
  CHECK(chip::native_support("conv", chip::find_profile("M1 Max")) == chip::Support::kNative);
  CHECK(chip::native_support("sin", chip::find_profile("m2")) == chip::Support::kRefused);
  CHECK(chip::find_native_op("sin")->needs_generation() == 3);
  CHECK(chip::find_native_op("lstm")->needs_generation() == 0);
  CHECK(chip::native_support("frobnicate", chip::find_profile("m5")) == chip::Support::kUnknown);
  CHECK_THROWS(ConfigError, chip::find_profile(std::string(1 << 20, 'm')));
}

}  // namespace

int main() {
  test_busy_program();
  test_damaged_programs();
  test_explaining_a_refusal();
  test_tables();
  return 0;
}
