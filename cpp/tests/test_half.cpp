#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "check.h"
#include "pyane/base/half.h"

int main() {
  using pyane::float_to_half;
  using pyane::half_to_float;
  // Every fp16 value survives the way to fp32 and back; a signalling NaN comes back quiet.
  for (std::uint32_t h = 0; h < 0x10000U; ++h) {
    const auto half = static_cast<pyane::half_bits>(h);
    const bool is_nan = (h & 0x7C00U) == 0x7C00U && (h & 0x3FFU) != 0;
    CHECK(float_to_half(half_to_float(half)) == (is_nan ? (h | 0x200U) : h));
  }
  // Ties to even, the largest finite value, and the edges of underflow.
  CHECK(float_to_half(2049.0F) == float_to_half(2048.0F));
  CHECK(float_to_half(2051.0F) == float_to_half(2052.0F));
  CHECK(float_to_half(65519.0F) == 0x7BFF);
  CHECK(float_to_half(65520.0F) == 0x7C00);
  CHECK(float_to_half(0x1p-25F) == 0);
  CHECK(float_to_half(std::bit_cast<float>(0x33000001U)) == 1);
  // Turned over, from and to memory without room to spare.
  for (const auto& [rows, cols] : {std::pair{1, 1}, {65, 9}, {64, 64}, {7, 130}, {130, 71}}) {
    std::vector<float> source(static_cast<std::size_t>(rows * cols));
    for (std::size_t i = 0; i < source.size(); ++i) source[i] = static_cast<float>(i);
    std::vector<pyane::half_bits> target(source.size());
    pyane::float_to_half_transposed(source.data(), target.data(), static_cast<std::size_t>(rows),
                                    static_cast<std::size_t>(cols));
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < cols; ++c) {
        CHECK(target[static_cast<std::size_t>(c * rows + r)] ==
              float_to_half(source[static_cast<std::size_t>(r * cols + c)]));
      }
    }
  }
  return 0;
}
