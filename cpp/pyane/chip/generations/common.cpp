#include <algorithm>

#include "pyane/chip/generations/generations.h"

namespace pyane::chip {

Profile common_profile() {
  Profile p;
  Limits& limits = p.limits;
  limits.max_rank = measured(5, "m1max m5pro", "ane-guide ch.4");
  limits.max_channels = measured(65536, "m1max m2pro", "ane-guide ch.4, 17");
  limits.max_batch = decompiled(65536, "ane-guide ch.4");
  limits.max_matmul_inner = inferred(32768, "751K-ANE 3.3, on M4");
  limits.max_conv_input_channels =
      inferred(65536, "ane-guide ch.17: 16385 input channels compile on M1 Max");
  limits.max_kernel_height = decompiled(32, "ane-guide app.A");
  limits.safe_kernel_height = limits.max_kernel_height;
  limits.max_pool_window = contested(31, "ane-guide app.A; its ch.17 has 128 accepted");
  limits.max_arg_reduce_axis = measured(2048, "m1max", "ane-guide ch.17");
  limits.max_weight_bytes = inferred(std::int64_t{2} << 30, "ANEForge issue 45, on M5");
  limits.min_surface_bytes = contested(
      49152, "Orion constraint 4, on M4 Max; imperatormk: 2 KB; ane-guide ran smaller ones");
  limits.min_input_width = inferred(1, "ane-guide ran narrow inputs; the field guide names M3 Max");
  limits.row_alignment_bytes = inferred(64, "slavko: 32 to 64 times slower; ane-guide app.A");
  limits.max_loaded_programs = contested(128, "ane-guide ch.14; the ANE field guide loaded 226");
  limits.max_compiles =
      contested(119, "maderix/ANE, Orion, libane: about 119; the mechanism may be loaded programs");
  limits.max_requests_in_flight = measured(127, "m1max m4", "ane-guide ch.14; maderix/ANE part 1");

  Quirks& quirks = p.quirks;
  quirks.wants_uniform_surfaces = contested(
      true, "Orion constraints 2, 12, on M4 Max; imperatormk needs an order instead, on M1");
  quirks.wants_ordered_surfaces = contested(false, "imperatormk, on M1 only");
  quirks.binds_alphabetically = inferred(true, "Orion constraints 3, 13, on M4 Max");
  quirks.runtime_conv_weight = inferred(RuntimeConvWeight::kBatchOneOnly, "ane-guide ch.19");
  quirks.weight_reload = contested(
      WeightReload::kStale,
      "maderix/ANE on M5: stale after an atomic write; Orion on M4 Max: fresh after one in place");
  quirks.refuses_fp32_io = inferred(false, "maderix/ANE issue 6 names M1 and M2 only");
  quirks.refuses_concat = inferred(false, "ane-guide app.A, ANEForge, maderix/ANE: native");
  quirks.refuses_affine_layer_norm = inferred(false, "mil-hwx-compiler names M1, ANEForge M2");
  quirks.refuses_wide_square = contested(false, "ANEForge 0.4.0 measured it on M5 Pro only");
  quirks.refuses_zero_after_reduce = inferred(false, "ANEForge 0.4.0 measured it on M5 Pro only");
  quirks.drops_scale_after_rounding = inferred(false, "ANEForge 0.4.0 measured it on M5 Pro only");
  quirks.tile_poisons_process = inferred(false, "ANE field guide saw it on M3 Max only");
  quirks.ignores_attention_mask =
      inferred(false, "ANEForge 0.4.0: works on M5 Pro; maderix/ANE and Orion name M4 only");
  quirks.zeroes_odd_matmul = inferred(false, "maderix/ANE issue 47 names M1 only");
  quirks.has_texture_unit = decompiled(true, "ane-guide ch.24, app.A");
  quirks.has_trigonometry = decompiled(true, "ane-guide ch.4, app.A");
  quirks.streams_int4_lut = predicted(true, "ane-guide ch.7");
  quirks.streams_sparse = predicted(true, "ane-guide ch.7");
  quirks.streams_int8 = predicted(true, "ane-guide ch.7");
  quirks.streams_blockwise = predicted(true, "ane-guide ch.7");

  Numerics& numerics = p.numerics;
  numerics.mac_ceiling = predicted(std::optional<float>(32768.0F), "ane-guide ch.3, on M1 Max");
  numerics.flush_mac_denormals = predicted(false, "ane-guide ch.3, on M5 Pro");
  numerics.rounds_ties_away = predicted(true, "ane-guide ch.3, on M5 Pro");
  numerics.accumulator = predicted(std::string_view("lanes4"), "ane-guide ch.3, on M1 Max");
  numerics.width_slice_saturates = predicted(false, "ane-guide ch.19; its ch.35 has doubts");
  numerics.width_slice_ceiling = measured(4094.0F, "m1max m2pro", "ane-guide ch.12, 19");
  numerics.w_slice_concat_wrong = predicted(false, "ANEForge 0.4.0: below A16");
  numerics.int8_weight_activation_ceiling =
      measured(4094.0F, "m1max m2pro m5pro", "ANEForge 0.4.0");
  numerics.nan_becomes_infinity =
      measured(true, "m1max", "ane-guide ch.3; 751K-ANE on M4: a large finite number");
  numerics.indeterminate_is_zero = measured(true, "m1max m4", "ane-guide ch.3; 751K-ANE");
  numerics.drops_zero_sign = measured(true, "m1max m4", "ane-guide ch.3; 751K-ANE");
  numerics.log_of_zero = measured(-45440.0F, "m1max", "ane-guide ch.3");
  numerics.softplus_of_infinity_is_zero = measured(true, "m1max", "ane-guide ch.3");
  numerics.tabulated_activations =
      decompiled(true, "ane-guide ch.3, 25; 751K-ANE measured the tables of M6");
  numerics.reduction_by_transpose_from = decompiled(384, "ane-guide ch.12");

  Rates& rates = p.rates;
  rates.int8_speedup = contested(
      1.0, "ane-guide app.E: not reached on M1 Max; its ch.9 has 1.4 for convolutions there");
  rates.on_chip_bytes = decompiled(2 << 20, "ane-guide ch.24");
  return p;
}

Profile with_product(Profile p, const Product& product) {
  p.name = product.name;
  p.product = product.product;
  p.architecture = decompiled(product.architecture, "ane-guide ch.12, 34");
  p.compiler_target = decompiled(product.target, "ane-guide ch.12, 34");
  p.soc = decompiled(product.soc, "ane-guide ch.34");
  p.cores = published(product.cores, "Apple's specifications");
  p.compiler_cores = decompiled(product.compiler_cores, "ane-guide ch.12");
  p.rates.clock_mhz = decompiled(product.clock_mhz, "ANEForge 0.4.0");
  // 16 engines x 256 multiply-adds x 2, per engine block; whether one program uses both blocks of
  // an Ultra is not known, so its peak is that of one.
  p.rates.peak_fp16_tflops =
      inferred(8192 * product.clock_mhz * 1e-6,
               "8192 operations per cycle: fits ane-guide ch.9, 12 (M1 Max 12, M5 Pro 19.6)");
  p.rates.memory_gbps = published(product.memory_gbps, "Apple's specifications");
  p.host.performance_cores = published(product.performance_cores, "Apple's specifications");
  p.host.matrix_units =
      inferred(product.matrix_units,
               "one per cluster of performance cores (corsix/amx), four to six cores a cluster");
  p.host.cpu_clock_mhz = inferred(product.cpu_clock_mhz, "as benchmark programs report it");
  // 1898 GFLOP/s on M5 Pro are 40 % of what two units of 512 operations a cycle do.
  constexpr double kPerUnitAndMhz = 1898.0 / (2 * 4608.0);
  p.host.matmul_gflops =
      inferred(kPerUnitAndMhz * static_cast<double>(product.matrix_units) * product.cpu_clock_mhz,
               "ane-guide ch.9 on M5 Pro, by matrix units and clock");
  p.host.stream_gbps = inferred(std::min(130.4, 0.75 * product.memory_gbps),
                                "ane-guide ch.9 on M5 Pro, at most 0.75 of the memory's rate");
  return p;
}

}  // namespace pyane::chip
