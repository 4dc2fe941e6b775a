#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "check.h"
#include "pyane/train/vector_math.h"

int main() {
  using pyane::exp_nonpositive;
  // The bound stated in the header, over every 997th float from -0 to -87.
  double worst = 0.0;
  const auto end = std::bit_cast<std::uint32_t>(-87.0F);
  for (std::uint32_t bits = 0x80000000U; bits <= end; bits += 997) {
    const auto x = std::bit_cast<float>(bits);
    const double exact = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::abs(exp_nonpositive(x) - exact) / exact);
  }
  CHECK(worst < 1.5 * 0x1p-23);
  CHECK(exp_nonpositive(0.0F) == 1.0F);
  CHECK(exp_nonpositive(-0.0F) == 1.0F);
  CHECK(exp_nonpositive(-87.0F) > 0.0F);
  CHECK(exp_nonpositive(std::nextafter(-87.0F, -88.0F)) == 0.0F);
  CHECK(exp_nonpositive(-std::numeric_limits<float>::max()) == 0.0F);
  CHECK(exp_nonpositive(-std::numeric_limits<float>::infinity()) == 0.0F);
  CHECK(std::isnan(exp_nonpositive(std::numeric_limits<float>::quiet_NaN())));
  return 0;
}
