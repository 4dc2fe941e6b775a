#pragma once

#include <string_view>

#include "pyane/chip/profile.h"

namespace pyane::chip {

/// Calls `visit(group, name, description, fact)` for every fact of a profile. The one list of
/// fields that documents and Python see.
template <class P, class Visit>
void visit_facts(P& profile, Visit&& visit) {
  const auto identity = [&](std::string_view name, std::string_view text, auto& fact) {
    visit(std::string_view("identity"), name, text, fact);
  };
  identity("architecture", "Architecture string of the driver", profile.architecture);
  identity("compiler_target", "Target name of Apple's compiler", profile.compiler_target);
  identity("soc", "System on a chip", profile.soc);
  identity("family", "Compiler family that decides which operations are legal", profile.family);
  identity("cores", "Neural Engine cores as Apple counts them", profile.cores);
  identity("compiler_cores", "Cores in the compiler's tables (num_nes)", profile.compiler_cores);

  auto& limits = profile.limits;
  const auto limit = [&](std::string_view name, std::string_view text, auto& fact) {
    visit(std::string_view("limits"), name, text, fact);
  };
  limit("max_rank", "Dimensions of a tensor", limits.max_rank);
  limit("max_width", "Last axis; vectors and the axes of a matmul", limits.max_width);
  limit("max_height", "Last axis but one", limits.max_height);
  limit("max_channels", "Channels", limits.max_channels);
  limit("max_batch", "Batch", limits.max_batch);
  limit("max_matmul_inner", "Contracted extent of a matmul", limits.max_matmul_inner);
  limit("max_conv_input_channels", "Input channels of a convolution",
        limits.max_conv_input_channels);
  limit("max_kernel_width", "Width of an fp16 convolution kernel at most", limits.max_kernel_width);
  limit("safe_kernel_width", "Width of an fp16 convolution kernel that all sources grant",
        limits.safe_kernel_width);
  limit("max_kernel_height", "Height of a convolution kernel", limits.max_kernel_height);
  limit("safe_kernel_height", "Height of a convolution kernel that all sources grant",
        limits.safe_kernel_height);
  limit("max_pool_window", "Pooling window", limits.max_pool_window);
  limit("max_arg_reduce_axis", "Extent that argmax and argmin reduce", limits.max_arg_reduce_axis);
  limit("max_weight_bytes", "Bytes of weights baked into one program", limits.max_weight_bytes);
  limit("min_surface_bytes", "Bytes of a surface at least", limits.min_surface_bytes);
  limit("min_input_width", "Innermost extent of a run-time input at least", limits.min_input_width);
  limit("row_alignment_bytes", "Alignment of the last axis for full speed, bytes",
        limits.row_alignment_bytes);
  limit("max_loaded_programs", "Programs loaded by one process", limits.max_loaded_programs);
  limit("max_compiles", "Compilations of one process", limits.max_compiles);
  limit("max_requests_in_flight", "Requests of one program under way",
        limits.max_requests_in_flight);

  auto& quirks = profile.quirks;
  const auto quirk = [&](std::string_view name, std::string_view text, auto& fact) {
    visit(std::string_view("quirks"), name, text, fact);
  };
  quirk("checks_blob_size", "A weight record must state its tensor's size",
        quirks.checks_blob_size);
  quirk("checks_blob_data_offset", "A weight record must state where its data are",
        quirks.checks_blob_data_offset);
  quirk("wants_uniform_surfaces", "Surfaces of different sizes: evaluating fails with 0x1d",
        quirks.wants_uniform_surfaces);
  quirk("wants_ordered_surfaces", "Inputs must ascend, outputs descend in size; else zeros",
        quirks.wants_ordered_surfaces);
  quirk("binds_alphabetically", "Inputs and outputs are bound in the order of their names",
        quirks.binds_alphabetically);
  quirk("runtime_conv_weight", "A convolution whose weight is not constant",
        quirks.runtime_conv_weight);
  quirk("weight_reload", "Weight file overwritten, model unloaded and loaded",
        quirks.weight_reload);
  quirk("refuses_fp32_io", "fp32 parameters with a cast inside do not compile",
        quirks.refuses_fp32_io);
  quirk("refuses_concat", "concat does not compile", quirks.refuses_concat);
  quirk("refuses_affine_layer_norm", "layer_norm with gamma or beta does not compile",
        quirks.refuses_affine_layer_norm);
  quirk("refuses_wide_square", "square before an activation, width % 128 > 64: does not compile",
        quirks.refuses_wide_square);
  quirk("refuses_zero_after_reduce", "mul by 0 after a reduction does not compile",
        quirks.refuses_zero_after_reduce);
  quirk("drops_scale_after_rounding", "floor, ceil or round, then mul by a scalar: no scale",
        quirks.drops_scale_after_rounding);
  quirk("tile_poisons_process", "After a program with tile all evaluates fail with 0x1d",
        quirks.tile_poisons_process);
  quirk("ignores_attention_mask", "scaled_dot_product_attention takes no notice of attn_mask",
        quirks.ignores_attention_mask);
  quirk("zeroes_odd_matmul", "matmul over an extent that is no multiple of 32 gives zeros",
        quirks.zeroes_odd_matmul);
  quirk("has_texture_unit", "crop_resize, resample, affine, reflected pads",
        quirks.has_texture_unit);
  quirk("has_trigonometry", "sin, cos", quirks.has_trigonometry);
  quirk("streams_int4_lut", "4-bit palettes stay compressed on the way to the engine",
        quirks.streams_int4_lut);
  quirk("streams_sparse", "Sparse weights stay compressed", quirks.streams_sparse);
  quirk("streams_int8", "int8 weights stay compressed", quirks.streams_int8);
  quirk("streams_blockwise", "Blockwise quantized weights stay compressed",
        quirks.streams_blockwise);

  auto& numerics = profile.numerics;
  const auto number = [&](std::string_view name, std::string_view text, auto& fact) {
    visit(std::string_view("numerics"), name, text, fact);
  };
  number("mac_ceiling", "Sums of products from here on are infinite", numerics.mac_ceiling);
  number("flush_mac_denormals", "Subnormal products are +0", numerics.flush_mac_denormals);
  number("rounds_ties_away", "2049 rounds to 2050, not 2048", numerics.rounds_ties_away);
  number("accumulator", "How products are summed", numerics.accumulator);
  number("width_slice_saturates", "Slices from inside the last axis saturate",
         numerics.width_slice_saturates);
  number("width_slice_ceiling", "Largest magnitude that such a slice passes",
         numerics.width_slice_ceiling);
  number("w_slice_concat_wrong", "concat of two such slices mixes elements up",
         numerics.w_slice_concat_wrong);
  number("int8_weight_activation_ceiling", "Largest activation that int8 weights bear",
         numerics.int8_weight_activation_ceiling);
  number("nan_becomes_infinity", "NaN is +inf", numerics.nan_becomes_infinity);
  number("indeterminate_is_zero", "inf - inf, 0 * inf, sqrt(-1), log(-1) are +0",
         numerics.indeterminate_is_zero);
  number("drops_zero_sign", "-0 is +0", numerics.drops_zero_sign);
  number("log_of_zero", "log(0)", numerics.log_of_zero);
  number("softplus_of_infinity_is_zero", "softplus and softsign of inf are +0",
         numerics.softplus_of_infinity_is_zero);
  number("tabulated_activations", "Activations interpolate a table of 33 knots",
         numerics.tabulated_activations);
  number("reduction_by_transpose_from", "Reduced extent from which another route is taken",
         numerics.reduction_by_transpose_from);

  auto& rates = profile.rates;
  const auto rate = [&](std::string_view name, std::string_view text, auto& fact) {
    visit(std::string_view("rates"), name, text, fact);
  };
  rate("clock_mhz", "Highest clock, MHz", rates.clock_mhz);
  rate("peak_fp16_tflops", "fp16 peak, 1e12 operations/s", rates.peak_fp16_tflops);
  rate("int8_speedup", "int8 weights and activations, times the fp16 peak", rates.int8_speedup);
  rate("weight_gbps", "Streaming weights, 1e9 bytes/s", rates.weight_gbps);
  rate("io_gbps", "Inputs and outputs, 1e9 bytes/s", rates.io_gbps);
  rate("dram_gbps", "Intermediate results outside the chip, 1e9 bytes/s", rates.dram_gbps);
  rate("memory_gbps", "Memory of the SoC, 1e9 bytes/s", rates.memory_gbps);
  rate("dispatch_us", "One evaluate, microseconds", rates.dispatch_us);
  rate("on_chip_bytes", "Working set that stays on the chip, bytes", rates.on_chip_bytes);

  auto& host = profile.host;
  const auto cpu = [&](std::string_view name, std::string_view text, auto& fact) {
    visit(std::string_view("host"), name, text, fact);
  };
  cpu("performance_cores", "Performance cores of the CPU, of the largest variant",
      host.performance_cores);
  cpu("matrix_units", "Their clusters, with one unit for matrix products each", host.matrix_units);
  cpu("cpu_clock_mhz", "Highest clock of a performance core, MHz", host.cpu_clock_mhz);
  cpu("matmul_gflops", "fp32 matrix products on the CPU, 1e9 operations/s", host.matmul_gflops);
  cpu("stream_gbps", "Passes of the CPU over memory, 1e9 bytes/s", host.stream_gbps);
}

}  // namespace pyane::chip
