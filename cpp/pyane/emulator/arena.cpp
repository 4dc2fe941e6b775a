#include "pyane/emulator/arena.h"

#include <algorithm>
#include <numeric>

namespace pyane::emulator {

std::size_t place_blocks(std::vector<ArenaBlock>& blocks) {
  constexpr std::size_t kAlignment = 64;
  std::vector<std::size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // Not std::stable_sort: libstdc++ 12's uses a function that clang reports as deprecated.
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (blocks[a].n_bytes != blocks[b].n_bytes) return blocks[a].n_bytes > blocks[b].n_bytes;
    return a < b;
  });
  std::size_t total = 0;
  std::vector<const ArenaBlock*> placed;  // By offset.
  for (const std::size_t index : order) {
    ArenaBlock& block = blocks[index];
    const std::size_t size = (block.n_bytes + kAlignment - 1) / kAlignment * kAlignment;
    std::size_t offset = 0;
    for (const ArenaBlock* other : placed) {
      if (other->last_step < block.first_step || block.last_step < other->first_step) continue;
      if (offset + size <= other->offset) break;
      const std::size_t end =
          other->offset + (other->n_bytes + kAlignment - 1) / kAlignment * kAlignment;
      offset = std::max(offset, end);
    }
    block.offset = offset;
    total = std::max(total, offset + size);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), &block,
                                   [](const ArenaBlock* a, const ArenaBlock* b) {
                                     return a->offset < b->offset;
                                   }),
                  &block);
  }
  return total;
}

}  // namespace pyane::emulator
