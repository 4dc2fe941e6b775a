#include "pyane/mil/ops/windows.h"

#include <algorithm>

#include "pyane/mil/ops/families.h"

namespace pyane::mil {
namespace {

std::vector<std::int64_t> entries(const OpContext& context, const char* input, std::size_t n,
                                  std::int64_t low) {
  std::vector<std::int64_t> values = context.integers(input);
  if (values.size() != n) {
    context.fail(std::string(input) + " must have " + std::to_string(n) + " entries, got " +
                 ops::numbers(values));
  }
  for (const std::int64_t value : values) {
    if (value < low) {
      context.fail(std::string(input) + " must be at least " + std::to_string(low) + ", got " +
                   ops::numbers(values));
    }
  }
  return values;
}

}  // namespace

std::vector<SpatialWindow> spatial_windows(const OpContext& context,
                                           const std::vector<std::int64_t>& kernel,
                                           bool rounds_up) {
  const Shape& x = context.dims("x");
  const std::size_t n = kernel.size();
  const std::vector<std::int64_t> strides = entries(context, "strides", n, 1);
  const std::vector<std::int64_t> dilations = context.record().find_input("dilations") != nullptr
                                                  ? entries(context, "dilations", n, 1)
                                                  : std::vector<std::int64_t>(n, 1);
  const std::string pad_type =
      ops::one_of(context, "pad_type", {"valid", "same", "same_lower", "custom"});
  std::vector<std::int64_t> pad(2 * n, 0);
  if (pad_type == "custom") pad = entries(context, "pad", 2 * n, 0);

  std::vector<SpatialWindow> windows(n);
  for (std::size_t i = 0; i < n; ++i) {
    SpatialWindow& w = windows[i];
    w = {.input = x[i + 2],
         .kernel = kernel[i],
         .stride = strides[i],
         .dilation = dilations[i],
         .pad_before = pad[2 * i],
         .pad_after = pad[2 * i + 1]};
    if (w.kernel < 1) context.fail("kernel must be at least 1, got " + ops::numbers(kernel));
    const std::int64_t extent = (w.kernel - 1) * w.dilation + 1;
    if (w.input == kUnknownDim) {
      w.output = kUnknownDim;
      if (pad_type == "same" || pad_type == "same_lower") w.pad_before = w.pad_after = kUnknownDim;
      continue;
    }
    if (pad_type == "same" || pad_type == "same_lower") {
      const std::int64_t outputs = (w.input + w.stride - 1) / w.stride;
      const std::int64_t total =
          std::max<std::int64_t>(0, (outputs - 1) * w.stride + extent - w.input);
      w.pad_before = pad_type == "same" ? total / 2 : total - total / 2;
      w.pad_after = total - w.pad_before;
    }
    const std::int64_t padded = w.input + w.pad_before + w.pad_after;
    if (padded < extent) {
      context.fail("kernel of " + std::to_string(extent) + " does not fit into " +
                   std::to_string(padded) + " (x " + to_string(x) + " with padding) in dimension " +
                   std::to_string(i + 2));
    }
    const std::int64_t slack = padded - extent;
    w.output = slack / w.stride + 1;
    if (rounds_up && slack % w.stride != 0) {
      ++w.output;
      // No window may start in the padding after x; coremltools takes half of the total padding
      // for the part before.
      const std::int64_t total = w.pad_before + w.pad_after;
      if (total > 0 && 2 * (w.output - 1) * w.stride >= 2 * w.input + total) --w.output;
    }
  }
  return windows;
}

SliceRange slice_range(std::int64_t n, SliceBound begin, SliceBound end, std::int64_t stride) {
  const bool is_forward = stride > 0;
  const auto clamp = [&](std::int64_t index) {
    if (index < 0) index += n;
    return is_forward ? std::clamp<std::int64_t>(index, 0, n)
                      : std::clamp<std::int64_t>(index, -1, n - 1);
  };
  const std::int64_t first = begin.is_open ? (is_forward ? 0 : n - 1) : clamp(begin.index);
  const std::int64_t last = end.is_open ? (is_forward ? n : -1) : clamp(end.index);
  const std::int64_t span = is_forward ? last - first : first - last;
  const std::int64_t step = is_forward ? stride : -stride;
  return {.begin = first,
          .count = span <= 0 ? 0 : (span - 1) / step + 1,
          .stride = stride,
          .is_squeezed = false};
}

std::vector<SliceRange> resolve_slice_by_index(const OpContext& context) {
  const Shape& x = context.dims("x");
  const std::size_t rank = x.size();
  const auto mask = [&](const char* name) {
    std::vector<bool> values = context.booleans(name);
    if (!context.has(name)) return std::vector<bool>(rank, false);
    if (values.size() != rank) {
      context.fail(std::string(name) + " must have one entry per dimension of x " + to_string(x) +
                   ", got " + std::to_string(values.size()));
    }
    return values;
  };
  const auto bounds = [&](const char* name) {
    if (context.constant(name) == nullptr) {
      const Shape& dims = context.dims(name);
      if (dims.size() != 1 || !ops::may_equal(dims[0], static_cast<std::int64_t>(rank))) {
        context.fail(std::string(name) + " must have one entry per dimension of x " + to_string(x) +
                     ", got " + to_string(dims));
      }
      return std::vector<std::int64_t>();
    }
    return entries(context, name, rank, INT64_MIN);
  };
  const std::vector<bool> begin_mask = mask("begin_mask");
  const std::vector<bool> end_mask = mask("end_mask");
  const std::vector<bool> squeeze_mask = mask("squeeze_mask");
  const std::vector<std::int64_t> begins = bounds("begin");
  const std::vector<std::int64_t> ends = bounds("end");
  const std::vector<std::int64_t> strides = context.has("stride")
                                                ? entries(context, "stride", rank, INT64_MIN)
                                                : std::vector<std::int64_t>(rank, 1);

  std::vector<SliceRange> ranges(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    SliceRange& range = ranges[i];
    range = {.begin = kUnknownDim,
             .count = kUnknownDim,
             .stride = strides[i],
             .is_squeezed = squeeze_mask[i]};
    if (range.stride == 0) context.fail("stride must not be 0, got " + ops::numbers(strides));
    const std::int64_t n = x[i];
    const bool is_forward = range.stride > 0;
    const bool is_begin_known = begin_mask[i] || !begins.empty();
    const bool is_end_known = end_mask[i] || !ends.empty();

    if (range.is_squeezed) {
      range.count = 1;
      range.stride = 1;
      if (begin_mask[i]) {
        range.begin = 0;
      } else if (is_begin_known && (n != kUnknownDim || begins[i] >= 0)) {
        range.begin = begins[i] < 0 ? begins[i] + n : begins[i];
        if (range.begin < 0 || (n != kUnknownDim && range.begin >= n)) {
          context.fail("begin " + std::to_string(begins[i]) + " is outside dimension " +
                       std::to_string(i) + " of x " + to_string(x));
        }
      }
      continue;
    }
    if (n == kUnknownDim) {
      // The count is known where both bounds count from the same end.
      if (is_forward && begin_mask[i] && end_mask[i]) {
        range.begin = 0;
      } else if (is_forward && !begin_mask[i] && !begins.empty() && begins[i] >= 0) {
        range.begin = begins[i];
      }
      continue;
    }
    if (!is_begin_known) continue;
    const SliceBound begin = {begins.empty() ? 0 : begins[i], begin_mask[i]};
    const SliceBound end = {ends.empty() ? 0 : ends[i], end_mask[i]};
    const SliceRange known = slice_range(n, begin, end, range.stride);
    range.begin = known.begin;
    if (!is_end_known) continue;
    range.count = known.count;
    if (range.count == 0) {
      context.fail("takes no element of dimension " + std::to_string(i) + " of x " + to_string(x) +
                   ": from " + std::to_string(range.begin) + " to " +
                   (end.is_open ? "its end" : std::to_string(end.index)) + " by " +
                   std::to_string(range.stride));
    }
  }
  return ranges;
}

std::vector<SliceRange> resolve_slice_by_size(const OpContext& context) {
  const Shape& x = context.dims("x");
  const std::size_t rank = x.size();
  const bool is_begin_known = context.constant("begin") != nullptr;
  const bool is_size_known = context.constant("size") != nullptr;
  for (const char* name : {"begin", "size"}) {
    const Shape& dims = context.dims(name);
    if (dims.size() != 1 || !ops::may_equal(dims[0], static_cast<std::int64_t>(rank))) {
      context.fail(std::string(name) + " must have one entry per dimension of x " + to_string(x) +
                   ", got " + to_string(dims));
    }
  }
  std::vector<std::int64_t> begin(rank, kUnknownDim);
  std::vector<std::int64_t> size(rank, kUnknownDim);
  if (is_begin_known) begin = entries(context, "begin", rank, INT64_MIN);
  if (is_size_known) size = entries(context, "size", rank, -1);

  std::vector<SliceRange> ranges(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    SliceRange& range = ranges[i];
    range.begin = range.count = kUnknownDim;
    if (is_size_known && size[i] >= 0) range.count = size[i];
    if (is_begin_known) {
      if (begin[i] >= 0) {
        range.begin = begin[i];
      } else if (x[i] != kUnknownDim) {
        range.begin = begin[i] + x[i];
      }
    }
    if (x[i] == kUnknownDim) continue;
    const bool is_open = is_size_known && size[i] < 0;
    if (is_open && is_begin_known) range.count = x[i] - range.begin;
    const std::int64_t last =
        (is_begin_known ? range.begin : 0) + std::max<std::int64_t>(range.count, 0);
    const bool is_outside = is_begin_known && (range.begin < 0 || range.begin > x[i]);
    if (is_outside || last > x[i]) {
      context.fail("begin " + ops::numbers(begin) + " with size " + ops::numbers(size) +
                   " leaves x " + to_string(x) + " in dimension " + std::to_string(i));
    }
    if (range.count == 0) {
      context.fail("size must not be 0, got " + ops::numbers(size) + " for x " + to_string(x));
    }
  }
  return ranges;
}

}  // namespace pyane::mil
