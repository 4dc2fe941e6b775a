#include "pyane/chip/generations/generations.h"

// Measured by 751K-ANE (M4), Orion (M4 Max) and in maderix/ANE's report (M4 Pro, M4 Max).

namespace pyane::chip {

std::vector<Profile> m4_profiles() {
  Profile g = common_profile();
  g.generation = 4;
  g.family = contested(4, "ane-guide ch.35: 4; its ch.12, 24: 5. No operation depends on it");

  Limits& limits = g.limits;
  limits.max_width = measured(65536, "m4", "751K-ANE 3.3; ane-guide ch.4");
  limits.max_height = measured(65536, "m4", "751K-ANE 3.3; ane-guide ch.4");
  limits.max_matmul_inner = measured(32768, "m4", "751K-ANE 3.3");
  limits.max_conv_input_channels =
      contested(16384, "maderix/ANE on M4: 32000 input channels are refused; ane-guide: 65536");
  limits.max_kernel_width = measured(15, "m4", "751K-ANE 3.3; ane-guide ch.12");
  limits.safe_kernel_width = limits.max_kernel_width;
  limits.safe_kernel_height =
      contested(31, "751K-ANE 3.3 on M4: 32 is refused; ane-guide app.A grants it");
  limits.min_input_width =
      contested(16,
                "rustane, on M4 Max: rows of other than multiples of 16 are corrupted; 751K-ANE's "
                "descriptors pad such rows");
  limits.min_surface_bytes = measured(49152, "m4max", "Orion constraint 4");

  limits.max_pool_window =
      contested(8, "751K-ANE 3.3 on M4: max_pool beyond 8 is refused; ane-guide app.A: 31");

  Quirks& quirks = g.quirks;
  quirks.refuses_concat =
      contested(false, "Orion constraint 1 on M4 Max: refused; maderix/ANE, 751K-ANE on M4: works");
  quirks.ignores_attention_mask =
      contested(true, "maderix/ANE, Orion constraint 6; ANEForge and 751K-ANE: the mask works");
  quirks.checks_blob_size =
      inferred(false, "maderix/ANE benchmark report beside its programs: any shape compiles");
  quirks.checks_blob_data_offset = quirks.checks_blob_size;
  quirks.wants_uniform_surfaces = measured(true, "m4max", "Orion constraints 2, 12");
  quirks.binds_alphabetically = measured(true, "m4max", "Orion constraints 3, 13");
  quirks.runtime_conv_weight =
      contested(RuntimeConvWeight::kSupported, "751K-ANE on M4; others on other chips disagree");
  quirks.weight_reload = contested(
      WeightReload::kFresh, "Orion on M4 Max, after a write in place; maderix/ANE on M5: stale");

  Numerics& numerics = g.numerics;
  numerics.mac_ceiling = measured(std::optional<float>(32768.0F), "m4", "751K-ANE");
  numerics.flush_mac_denormals =
      predicted(false, "ane-guide ch.3, on M5 Pro; 751K-ANE on M4 drops products below 2^-16");
  numerics.rounds_ties_away = measured(true, "m4", "751K-ANE");
  numerics.nan_becomes_infinity =
      contested(true, "ane-guide ch.3, on M1 Max; 751K-ANE on M4: a large finite number");
  numerics.accumulator = measured(std::string_view("q15.16"), "m4", "751K-ANE");

  Rates& rates = g.rates;
  rates.weight_gbps = inferred(90.0, "between M2 Pro and M5 Pro; 0.75 of the memory's rate");
  rates.io_gbps = inferred(20.0, "between M2 Pro and M5 Pro");
  rates.dram_gbps = inferred(90.0, "0.75 of the memory's rate");
  rates.dispatch_us = measured(95.0, "m4", "maderix/ANE part 2");
  rates.int8_speedup = measured(
      35.1 / 18.6, "m4", "maderix/ANE README: 35.1 TOP/s of int8 beside 18.6 TFLOP/s of fp16");
  rates.on_chip_bytes = inferred(4'700'000, "ane-guide ch.21, on M5 Pro");

  Profile pro =
      with_product(g, {"m4pro", "M4 Pro", "h16g", "H16s", "T604x", 16, 16, 2364, 273, 10, 2, 4512});
  Profile max =
      with_product(g, {"m4max", "M4 Max", "h16g", "H16s", "T604x", 16, 16, 2364, 546, 12, 2, 4512});
  return {with_product(g, {"m4", "M4", "h16", "H16", "T8132", 16, 4, 2160, 120, 4, 1, 4464}), pro,
          max};
}

}  // namespace pyane::chip
