#include "pyane/chip/generations/generations.h"

// Measured by the ANE field guide (M3 Max) and in maderix/ANE's report (M3 Pro, M3 Ultra); what the
// ane-guide says of it is prediction.

namespace pyane::chip {

std::vector<Profile> m3_profiles() {
  Profile g = common_profile();
  g.generation = 3;
  g.family = decompiled(4, "ane-guide ch.35");

  Limits& limits = g.limits;
  limits.max_width = decompiled(16384, "ane-guide ch.4");
  limits.max_height = decompiled(16384, "ane-guide ch.4");
  limits.max_kernel_width = decompiled(15, "ane-guide app.A says 16, of which ANEForge takes 15");
  limits.safe_kernel_width = contested(13, "ane-guide ch.12: the bound rises at A16 only");
  limits.min_input_width = measured(32, "m3max", "ANE field guide: narrower ones give garbage");

  Quirks& quirks = g.quirks;
  quirks.refuses_concat = contested(
      false, "rustane issue 9 on M3 Ultra: refused along the width; ane-guide app.A: native");
  quirks.checks_blob_size =
      inferred(true,
               "maderix/ANE benchmark report beside its programs: only the shape whose size the "
               "hand-made record states compiles on M3 Pro");
  quirks.checks_blob_data_offset = inferred(
      false, "maderix/ANE benchmark report beside its programs: offset 0 compiles on M3 Pro");
  quirks.runtime_conv_weight = measured(RuntimeConvWeight::kIgnored, "m3max", "ANE field guide");
  quirks.tile_poisons_process = contested(true, "ANE field guide, on M3 Max; nobody else saw it");

  Numerics& numerics = g.numerics;
  numerics.width_slice_saturates = contested(
      false, "ane-guide ch.19: clean from M3 on; its ch.35 and ANEForge suspect all below A16");
  numerics.w_slice_concat_wrong = predicted(true, "ANEForge 0.4.0: below A16");

  Rates& rates = g.rates;
  rates.weight_gbps = inferred(75.0, "between M2 Pro and M5 Pro; 0.75 of the memory's rate");
  rates.io_gbps = inferred(15.0, "between M2 Pro and M5 Pro");
  rates.dram_gbps = inferred(75.0, "0.75 of the memory's rate");
  rates.dispatch_us = inferred(100.0, "between M2 Pro and M5 Pro");

  Profile pro =
      with_product(g, {"m3pro", "M3 Pro", "h15g", "H15g", "T603x", 16, 8, 2064, 150, 6, 1, 4056});
  pro.rates.peak_fp16_tflops =
      measured(16.77, "m3pro", "maderix/ANE benchmark report: 128 convolutions, 512 channels");
  return {
      with_product(g, {"m3", "M3", "h15", "H15", "T8122", 16, 4, 2064, 100, 4, 1, 4056}), pro,
      with_product(g, {"m3max", "M3 Max", "h15g", "H15g", "T603x", 16, 8, 2064, 400, 12, 2, 4056}),
      with_product(
          g, {"m3ultra", "M3 Ultra", "h15g", "H15g", "T603x", 32, 8, 2064, 819, 24, 4, 4056})};
}

}  // namespace pyane::chip
