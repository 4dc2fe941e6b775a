#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pyane {

/// What a device evaluates at once: an operation, or several that it has fused.
struct ProfileGroup {
  std::vector<std::string> operations;  ///< MIL names, in program order; none: copies of its own.
  std::string output;                   ///< Name of the first value made.
  int line = 0;                         ///< Of the first operation, in the text.
  /// The group whose block it is in, a cond or while_loop; nullopt: the function's body.
  std::optional<std::size_t> parent;
  /// Of one run, as mil/cost.h counts; nullopt: of what is in its blocks, or not known.
  std::optional<double> flops;
  std::optional<std::uint64_t> n_bytes;  ///< Of the tensors that one run reads and writes.
  std::uint64_t runs = 0;
  std::int64_t total_ns = 0;  ///< Of all runs, blocks included.
};

/// A thread at work for a group, in nanoseconds from the begin of the evaluation.
struct ProfileSpan {
  int thread = 0;  ///< 0: the one that evaluates; from 1 on those that help it.
  std::size_t group = 0;
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
};

/// Where the time of one evaluation went.
struct Profile {
  std::vector<ProfileGroup> groups;  ///< Only those that ran, parents before their blocks'.
  std::vector<ProfileSpan> spans;    ///< Up to kMaxProfileSpans; then only the totals go on.
  std::int64_t total_ns = 0;
};

inline constexpr std::size_t kMaxProfileSpans = std::size_t{1} << 17;

}  // namespace pyane
