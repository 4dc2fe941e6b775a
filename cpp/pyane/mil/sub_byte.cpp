#include "pyane/mil/sub_byte.h"

#include <cassert>

namespace pyane::mil {

bool is_sub_byte(DType dtype) { return is_integer(dtype) && dtype_info(dtype).bits < 8; }

std::uint64_t packed_bytes(DType dtype, std::uint64_t n) {
  const auto bits = static_cast<std::uint64_t>(dtype_info(dtype).bits);
  // n * bits may not fit: whole groups of eight elements first.
  return n / 8 * bits + (n % 8 * bits + 7) / 8;
}

void unpack(std::span<const std::byte> packed, DType dtype, std::span<std::byte> target) {
  assert(is_sub_byte(dtype) && packed.size() >= packed_bytes(dtype, target.size()));
  const auto bits = static_cast<unsigned>(dtype_info(dtype).bits);
  const unsigned mask = (1U << bits) - 1;
  const unsigned sign = dtype_info(dtype).kind == DTypeKind::kSigned ? 1U << (bits - 1) : 0;
  unsigned window = 0;  // Bits read but not yet handed out, the next element lowest.
  unsigned available = 0;
  std::size_t next = 0;
  for (std::byte& element : target) {
    if (available < bits) {
      window |= std::to_integer<unsigned>(packed[next++]) << available;
      available += 8;
    }
    const unsigned value = window & mask;
    element = static_cast<std::byte>((value ^ sign) - sign);
    window >>= bits;
    available -= bits;
  }
}

void pack(std::span<const std::byte> source, DType dtype, std::span<std::byte> target) {
  assert(is_sub_byte(dtype) && target.size() >= packed_bytes(dtype, source.size()));
  const auto bits = static_cast<unsigned>(dtype_info(dtype).bits);
  const unsigned mask = (1U << bits) - 1;
  unsigned window = 0;
  unsigned filled = 0;
  std::size_t next = 0;
  for (const std::byte element : source) {
    window |= (std::to_integer<unsigned>(element) & mask) << filled;
    filled += bits;
    if (filled >= 8) {
      target[next++] = static_cast<std::byte>(window & 0xFFU);
      window >>= 8;
      filled -= 8;
    }
  }
  if (filled > 0) target[next] = static_cast<std::byte>(window);
}

}  // namespace pyane::mil
