#pragma once

#include <cstddef>
#include <vector>

namespace pyane::emulator {

/// Memory needed from one step to another, both included.
struct ArenaBlock {
  std::size_t n_bytes = 0;
  std::size_t first_step = 0;
  std::size_t last_step = 0;
  std::size_t offset = 0;  ///< Result; a multiple of 64.
};

/// Places blocks so that those needed at the same time do not overlap, largest first, each at the
/// lowest free offset. Returns the size of the arena.
std::size_t place_blocks(std::vector<ArenaBlock>& blocks);

}  // namespace pyane::emulator
