#pragma once

#include <memory>
#include <optional>

#include "pyane/emulator/kernels/registry.h"

// Slices that begin inside the last axis go through a crop unit with few integer bits on some
// chips: values beyond its range become infinite (ane-guide ch. 3, 12, 19).

namespace pyane::emulator::hardware {

/// The view of a slice_by_index or slice_by_size that begins at 0 of the last axis; nullopt for
/// others, which are prepared.
std::optional<SubTensor> view_slice(const mil::OpContext& op, const TensorLayout& x,
                                    std::size_t output, const Shape& dims);

/// The others: a copy that saturates. Contiguous tensors.
std::unique_ptr<Step> prepare_slice(const PrepareContext& context);

}  // namespace pyane::emulator::hardware
