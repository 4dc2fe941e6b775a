#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "pyane/emulator/kernels/phased_image.h"
#include "pyane/emulator/kernels/registry.h"

namespace pyane::emulator {

/// Where the elements of a convolution's weight lie, in elements.
struct WeightLayout {
  DType dtype = DType::kFp16;
  std::int64_t filter_stride = 0;
  std::vector<std::int64_t> k_offsets;      ///< Of (channel, kernel element), in this order.
  std::vector<std::int64_t> group_offsets;  ///< One per group.
};

struct DirectConvSpec {
  StagedImages input;
  std::int64_t groups = 1;
  std::int64_t channels = 0;  ///< Of one group.
  std::int64_t filters = 0;   ///< Of one group.
  WeightLayout weight = {};
  DType out_dtype = DType::kFp16;
  std::int64_t out_image_stride = 0;
  std::int64_t out_channel_stride = 0;  ///< Spatial elements are contiguous.
  bool has_bias = false;
  DType bias_dtype = DType::kFp16;
};

/// Whether reading the patches in place costs less than packing them (kernels/gemm.h): the
/// positions between two rows of the output are work for nothing, packing is work per filter.
bool direct_conv_pays(const DirectConvSpec& spec);

/// A convolution whose patches are read where the staged image has them. Sums go through
/// (channel, kernel element) in order, in fp32, from 0; then comes the bias: the same bits as the
/// product of gemm.h gives.
///
/// @param weight  Packed now when it is a constant; nullptr: at each evaluation.
std::unique_ptr<Step> make_direct_conv(DirectConvSpec spec, const void* weight);

}  // namespace pyane::emulator
