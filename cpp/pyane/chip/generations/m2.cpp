#include "pyane/chip/generations/generations.h"

// The ane-guide's "M2" is an M2 Pro; every axis measured there gave the bits of its M1.

namespace pyane::chip {

std::vector<Profile> m2_profiles() {
  Profile g = common_profile();
  g.generation = 2;
  g.family = decompiled(3, "ane-guide ch.35");

  Limits& limits = g.limits;
  limits.max_width = measured(16384, "m2pro", "ane-guide ch.4");
  limits.max_height = measured(16384, "m2pro", "ane-guide ch.4");
  limits.max_kernel_width = decompiled(15, "ane-guide app.A says 16, of which ANEForge takes 15");
  limits.safe_kernel_width = contested(13, "ane-guide ch.12: the bound rises at A16 only");

  Quirks& quirks = g.quirks;
  quirks.checks_blob_size = inferred(true, "no report; taken as M1");
  quirks.checks_blob_data_offset = inferred(true, "no report; taken as M1");
  quirks.refuses_fp32_io = inferred(true, "maderix/ANE issue 6");
  quirks.refuses_affine_layer_norm =
      contested(true, "ANEForge issue 149, on M2 Pro: depends on the values");
  quirks.has_trigonometry = decompiled(false, "ane-guide ch.4, app.A");
  quirks.streams_int4_lut = measured(true, "m2pro", "ane-guide ch.7, 10");
  quirks.streams_sparse = measured(true, "m2pro", "ane-guide ch.7, 10");
  quirks.streams_int8 = measured(true, "m2pro", "ane-guide ch.7, 10");
  quirks.streams_blockwise = measured(false, "m2pro", "ane-guide ch.7");

  Numerics& numerics = g.numerics;
  numerics.mac_ceiling =
      measured(std::optional<float>(32768.0F), "m2pro", "ANEForge issue 150: a cliff near 32759");
  numerics.flush_mac_denormals = predicted(true, "ane-guide ch.12: bits as M1");
  numerics.rounds_ties_away = predicted(false, "ane-guide ch.12: bits as M1");
  numerics.accumulator = predicted(std::string_view("lanes4"), "ane-guide ch.12: bits as M1");
  numerics.width_slice_saturates = measured(true, "m2pro", "ane-guide ch.12, 19");
  numerics.w_slice_concat_wrong = measured(true, "m2pro", "ANEForge 0.4.0");
  numerics.reduction_by_transpose_from = decompiled(192, "ane-guide ch.12");

  Rates& rates = g.rates;
  rates.weight_gbps = measured(55.0, "m2pro", "ane-guide ch.7");
  rates.io_gbps = inferred(12.0, "fit of ane-guide ch.7, 10 on M2 Pro");
  rates.dram_gbps = inferred(80.0, "fit of ane-guide ch.7, 10 on M2 Pro");
  rates.dispatch_us = inferred(120.0, "fit of ane-guide ch.7, 10 on M2 Pro");

  Profile base = with_product(g, {"m2", "M2", "h14", "H14", "T8112", 16, 4, 1938, 100, 4, 1, 3504});
  base.rates.dram_gbps = inferred(75.0, "at most 0.75 of the memory's rate");
  return {
      base,
      with_product(g, {"m2pro", "M2 Pro", "h14g", "H14g", "T602x", 16, 8, 1938, 200, 8, 2, 3504}),
      with_product(g, {"m2max", "M2 Max", "h14g", "H14g", "T602x", 16, 8, 1938, 400, 8, 2, 3696}),
      with_product(
          g, {"m2ultra", "M2 Ultra", "h14g", "H14g", "T602x", 32, 8, 1938, 800, 16, 4, 3696})};
}

}  // namespace pyane::chip
