#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "pyane/chip/profile.h"

// Which MIL operations the engine runs, by generation. The only such table.

namespace pyane::chip {

enum class Support : std::uint8_t {
  kNative,
  kBridged,  ///< Runs as other operations, or only inside a larger program.
  kRefused,
  kContested,  ///< Sources disagree: `note` says how.
  kUnknown,    ///< No source speaks of it.
};
/// "native", ...
std::string_view to_string(Support support);

struct NativeOp {
  std::string_view op;
  std::array<Support, 5> support;  ///< M1 to M5; M3 and M4 are mostly predictions of the source.
  std::string_view source;
  std::string_view note;         ///< Conditions, disagreements, what to write instead.
  std::string_view engine_text;  ///< Of the refusal, where known.

  Support on(const Profile& chip) const {
    return support[static_cast<std::size_t>(chip.generation - 1)];
  }
  /// Generation that first runs it, if an older one refuses; 0 otherwise.
  int needs_generation() const;
  /// Sources disagree about a newer generation: what they say of `chip` is not measured either.
  bool is_contested_after(const Profile& chip) const;
};

/// nullptr for an operation that no source speaks of.
const NativeOp* find_native_op(std::string_view op);

/// Sorted by name.
std::span<const NativeOp> native_ops();

/// Support of `op` on `chip`; kUnknown for one that is not in the table.
Support native_support(std::string_view op, const Profile& chip);

}  // namespace pyane::chip
