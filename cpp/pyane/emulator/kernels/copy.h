#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "pyane/emulator/kernels/registry.h"

namespace pyane::emulator {

/// Copies `n` elements of `element_bytes` (1, 2, 4 or 8); strides in elements.
void copy_strided(const std::byte* source, std::int64_t source_stride, std::byte* target,
                  std::int64_t target_stride, std::size_t n, std::size_t element_bytes);

/// A step that copies input 0 to output 0: equal dimensions and dtypes, any strides, but that the
/// target may not repeat elements.
std::unique_ptr<Step> make_copy(const TensorLayout& source, const TensorLayout& target);

/// Copies parts of input 0 into parts of output 0, one after the other.
class CopyToMany final : public Step {
 public:
  /// Offsets in elements.
  void add(const TensorLayout& source, const TensorLayout& target, std::int64_t source_offset,
           std::int64_t target_offset);
  void run(const StepArguments& arguments) const override;

 private:
  struct Part {
    std::unique_ptr<Step> copy;
    std::int64_t source_offset;
    std::int64_t target_offset;
  };
  std::vector<Part> parts_;
  std::int64_t bytes_ = 1;
};

/// Copies contiguous bools, every byte but 0 becoming 1.
std::unique_ptr<Step> make_bool_copy(const TensorLayout& source, const TensorLayout& target);

}  // namespace pyane::emulator
