#include <cstddef>
#include <vector>

#include "check.h"
#include "pyane/base/ceilings.h"
#include "pyane/base/cpu.h"
#include "pyane/base/error.h"
#include "pyane/base/half.h"

int main() {
  // A ceiling that skips work would be too high: the conversion does all of it, tails included.
  std::vector<pyane::half_bits> source(0x7C00 + 37);
  for (std::size_t i = 0; i < source.size(); ++i) {
    source[i] =
        static_cast<pyane::half_bits>(i % 0x7C00);  // Every finite one that is not negative.
  }
  for (const pyane::Isa isa : pyane::available_isas()) {
    pyane::set_isa(pyane::isa_name(isa));
    std::vector<pyane::half_bits> target(source.size());
    pyane::round_trip(source.data(), target.data(), source.size());
    CHECK(target == source);
    CHECK(pyane::measure_int8_gops(1) >= 0);
    CHECK(pyane::measure_conversion_gbps(std::size_t{1} << 15, 2) > 0);
  }
  // Buffers smaller than a step, and of no round size.
  CHECK(pyane::measure_copy_gbps(0, 1) > 0);
  CHECK(pyane::measure_copy_gbps(100'001, 3) > 0);
  CHECK(pyane::measure_triad_gbps(1'000'003, 2) > 0);
  CHECK_THROWS(pyane::ShapeError, pyane::measure_triad_gbps(64, 0));
  CHECK_THROWS(pyane::ShapeError, pyane::measure_int8_gops(-1));
  return 0;
}
