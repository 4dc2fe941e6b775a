#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pyane/mil/op_set.h"

// Spatial windows of convolution and pooling, and element ranges of slicing, resolved from an
// operation's arguments. Used by type inference and by whoever executes or checks the operation,
// so that all of them mean the same elements.

namespace pyane::mil {

/// One spatial dimension of a convolution or pooling.
struct SpatialWindow {
  std::int64_t input = 0;  ///< kUnknownDim when unknown; then output and padding are too.
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t dilation = 1;
  std::int64_t pad_before = 0;
  std::int64_t pad_after = 0;
  std::int64_t output = 0;
};

/// Windows over the dimensions of x after [N, C].
///
/// pad_type "valid" takes no padding, "custom" the `pad` argument, "same" and "same_lower" as much
/// as makes output = ceil(input / stride), the odd element going after ("same") or before.
///
/// @param kernel  Sizes of the kernel's spatial dimensions.
/// @param rounds_up  Pooling's ceil_mode.
/// @throws MilVerifyError  through context.fail.
std::vector<SpatialWindow> spatial_windows(const OpContext& context,
                                           const std::vector<std::int64_t>& kernel,
                                           bool rounds_up = false);

/// One dimension of a slice: elements begin, begin + stride, ... `count` of them.
struct SliceRange {
  std::int64_t begin = 0;  ///< kUnknownDim when not known before evaluation.
  std::int64_t count = 0;  ///< kUnknownDim when not known before evaluation.
  std::int64_t stride = 1;
  bool is_squeezed = false;  ///< The dimension goes away; count is 1.
};

/// One end of a slice: an index, or the end of the dimension.
struct SliceBound {
  std::int64_t index;
  bool is_open;
};

/// The elements of a dimension of `n` from `begin` up to `end`, which is left out, by `stride`.
/// Python's rules: negative indices count from the end, those outside are clamped.
SliceRange slice_range(std::int64_t n, SliceBound begin, SliceBound end, std::int64_t stride);

/// One range per dimension of x, from begin, end, stride and the masks of slice_by_index (and
/// slice_update). Python's rules, with out-of-range bounds clamped.
std::vector<SliceRange> resolve_slice_by_index(const OpContext& context);

/// One range per dimension of x, from begin and size of slice_by_size. @throws MilVerifyError when
/// it leaves x.
std::vector<SliceRange> resolve_slice_by_size(const OpContext& context);

}  // namespace pyane::mil
