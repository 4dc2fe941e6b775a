#include "pyane/chip/generations/generations.h"

// The ane-guide's "M1" is an M1 Max (its architecture string is h13g).

namespace pyane::chip {

std::vector<Profile> m1_profiles() {
  Profile g = common_profile();
  g.generation = 1;
  g.family = decompiled(2, "ane-guide ch.35");

  Limits& limits = g.limits;
  limits.max_width = measured(16384, "m1max", "ane-guide ch.4");
  limits.max_height = measured(16384, "m1max", "ane-guide ch.4");
  limits.max_kernel_width = measured(13, "m1max", "ane-guide app.A: 14 is refused");
  limits.safe_kernel_width = limits.max_kernel_width;
  limits.max_kernel_height = decompiled(29, "ane-guide app.A");
  limits.safe_kernel_height = limits.max_kernel_height;
  limits.max_pool_window = contested(29, "ane-guide app.A; its ch.17 has 128 accepted");

  limits.min_input_width =
      contested(32, "ANE field guide, on M3 Max; ane-guide ran narrower inputs on another path");

  Quirks& quirks = g.quirks;
  quirks.refuses_concat =
      contested(false, "imperatormk on M1: refused; ane-guide app.A, ANEForge: native");
  quirks.checks_blob_size = inferred(
      true, "maderix/ANE benchmark report beside its programs: every hand-made record fails");
  quirks.checks_blob_data_offset = quirks.checks_blob_size;
  quirks.wants_uniform_surfaces = contested(
      true, "Orion constraints 2, 12, on M4 Max; imperatormk on M1: ascending sizes work");
  quirks.wants_ordered_surfaces =
      contested(true, "imperatormk: zeros unless inputs ascend and outputs descend");
  quirks.runtime_conv_weight =
      measured(RuntimeConvWeight::kBatchOneOnly, "m1max", "ane-guide ch.19");
  quirks.refuses_fp32_io = inferred(true, "maderix/ANE issue 6");
  quirks.refuses_affine_layer_norm = inferred(true, "mil-hwx-compiler README");
  quirks.zeroes_odd_matmul = contested(true, "maderix/ANE issue 47, one report");
  quirks.has_texture_unit = decompiled(false, "ane-guide ch.24, app.A");
  quirks.has_trigonometry = decompiled(false, "ane-guide ch.4, app.A");
  quirks.streams_int4_lut = measured(true, "m1max", "ane-guide ch.7");
  quirks.streams_sparse = measured(true, "m1max", "ane-guide ch.7, 25");
  quirks.streams_int8 = measured(false, "m1max", "ane-guide ch.7: becomes fp16 when compiled");
  quirks.streams_blockwise = decompiled(false, "ane-guide ch.7");

  Numerics& numerics = g.numerics;
  numerics.mac_ceiling = measured(std::optional<float>(32768.0F), "m1max", "ane-guide ch.3");
  numerics.flush_mac_denormals = measured(true, "m1max", "ane-guide ch.3");
  numerics.rounds_ties_away = measured(false, "m1max", "ane-guide ch.3");
  numerics.accumulator = measured(std::string_view("lanes4"), "m1max",
                                  "ane-guide ch.3: our fit of its published vectors");
  numerics.width_slice_saturates = measured(true, "m1max", "ane-guide ch.12, 19");
  numerics.w_slice_concat_wrong = predicted(true, "ANEForge 0.4.0: below A16");
  numerics.reduction_by_transpose_from = decompiled(192, "ane-guide ch.12");

  Rates& rates = g.rates;
  rates.weight_gbps = measured(51.0, "m1max", "ane-guide ch.7, 9");
  rates.io_gbps = inferred(5.5, "fit of ane-guide ch.9, 11 on M1 Max");
  rates.dram_gbps = measured(80.0, "m1max", "ane-guide ch.9, 33");
  rates.dispatch_us = measured(190.0, "m1max", "ane-guide ch.2");

  Profile base = with_product(g, {"m1", "M1", "h13", "H13", "T8103", 16, 4, 1428, 68, 4, 1, 3228});
  base.rates.weight_gbps = inferred(50.0, "at most 0.75 of the memory's rate");
  base.rates.dram_gbps = base.rates.weight_gbps;
  Profile ultra = with_product(
      g, {"m1ultra", "M1 Ultra", "h13g", "H13g", "T600x", 32, 8, 1464, 800, 16, 4, 3228});
  return {
      base,
      with_product(g, {"m1pro", "M1 Pro", "h13g", "H13g", "T600x", 16, 8, 1464, 200, 8, 2, 3228}),
      with_product(g, {"m1max", "M1 Max", "h13g", "H13g", "T600x", 16, 8, 1464, 400, 8, 2, 3228}),
      ultra};
}

}  // namespace pyane::chip
