#include "pyane/base/bulk_half.h"

#include <algorithm>
#include <chrono>

#include "pyane/base/thread_pool.h"

namespace pyane {
namespace {

// What one thread takes at a time: its 96 KB stay in the second-level cache.
constexpr std::size_t kBlock = std::size_t{1} << 14;
// In the caches.
constexpr std::size_t kElementsPerNs = 8;
// 24 MiB at both ends together: more than the caches keep until somebody reads the result.
constexpr std::size_t kStreamed = std::size_t{1} << 22;

template <typename Source, typename Target>
using Convert = void (*)(const Source*, Target*, std::size_t);

template <typename Source, typename Target>
void in_blocks(const Source* source, Target* target, std::size_t n, Convert<Source, Target> cached,
               Convert<Source, Target> streamed) {
  const auto convert = n < kStreamed ? cached : streamed;
  const std::chrono::nanoseconds work(n / kElementsPerNs);
  parallel_for((n + kBlock - 1) / kBlock, work, [&](std::size_t block) {
    const std::size_t begin = block * kBlock;
    convert(source + begin, target + begin, std::min(kBlock, n - begin));
  });
}

}  // namespace

void bulk_half_to_float(const half_bits* source, float* target, std::size_t n) {
  in_blocks<half_bits, float>(source, target, n, half_to_float, half_to_float_stream);
}

void bulk_float_to_half(const float* source, half_bits* target, std::size_t n) {
  in_blocks<float, half_bits>(source, target, n, float_to_half, float_to_half_stream);
}

}  // namespace pyane
