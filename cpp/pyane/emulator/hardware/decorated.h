#pragma once

#include <memory>

#include "pyane/emulator/kernels/registry.h"

namespace pyane::emulator::hardware {

/// Changes one input, already admitted, before a step reads it. Contiguous.
class InputFilter {
 public:
  virtual ~InputFilter() = default;
  virtual void apply(std::byte* data) const = 0;
};

struct Decoration {
  /// What a NaN in an input counts as.
  float nan_value;
  /// Of input 0; may be nullptr.
  std::shared_ptr<const InputFilter> filter = nullptr;
};

/// Wraps a step of the IEEE kernels in the engine's handling of special values: every
/// floating-point input is admitted (hardware/values.h) into a copy, every floating-point output
/// emitted. All tensors must be contiguous.
///
/// @param make  Prepares the wrapped step; it sees constants as they are admitted.
std::unique_ptr<Step> decorate(const PrepareContext& context, const Decoration& decoration,
                               Prepare make);

}  // namespace pyane::emulator::hardware
