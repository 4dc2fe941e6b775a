#include "pyane/chip/generations/generations.h"

// The ane-guide's and ANEForge's "M5" is an M5 Pro (h17s).

namespace pyane::chip {

std::vector<Profile> m5_profiles() {
  Profile g = common_profile();
  g.generation = 5;
  g.family = decompiled(5, "ane-guide ch.35");

  Limits& limits = g.limits;
  limits.max_width = decompiled(65536, "ane-guide ch.4");
  limits.max_height = decompiled(65536, "ane-guide ch.4");
  limits.max_kernel_width = measured(15, "m5pro", "ANEForge 0.4.0: 16 is refused");
  limits.safe_kernel_width = limits.max_kernel_width;
  limits.max_weight_bytes = measured(std::int64_t{2} << 30, "m5pro", "ANEForge issue 45");

  Quirks& quirks = g.quirks;
  quirks.checks_blob_size =
      inferred(false, "maderix/ANE benchmark report beside its programs: any shape compiles");
  quirks.checks_blob_data_offset = quirks.checks_blob_size;
  quirks.runtime_conv_weight =
      measured(RuntimeConvWeight::kBatchOneOnly, "m5pro", "ane-guide ch.19");
  quirks.refuses_wide_square = measured(true, "m5pro", "ANEForge 0.4.0");
  quirks.refuses_zero_after_reduce = measured(true, "m5pro", "ANEForge 0.4.0");
  quirks.drops_scale_after_rounding = measured(true, "m5pro", "ANEForge 0.4.0");
  quirks.streams_int4_lut = measured(true, "m5pro", "ane-guide ch.7");
  quirks.streams_sparse = measured(true, "m5pro", "ane-guide ch.7");
  quirks.streams_int8 = measured(true, "m5pro", "ane-guide ch.7");
  quirks.streams_blockwise =
      contested(false, "ane-guide ch.7: 1.6 to 1.8 times faster; ANEForge: no gain");

  Numerics& numerics = g.numerics;
  numerics.mac_ceiling =
      measured(std::optional<float>(32768.0F), "m5pro", "ANEForge issue 150: a cliff near 32759");
  numerics.flush_mac_denormals = measured(false, "m5pro", "ane-guide ch.3");
  numerics.rounds_ties_away = measured(true, "m5pro", "ane-guide ch.3: one vector");
  numerics.width_slice_saturates = measured(false, "m5pro", "ane-guide ch.12, 19");

  Rates& rates = g.rates;
  rates.weight_gbps = measured(157.0, "m5pro", "ANEForge 0.4.0; ane-guide ch.12: 145");
  rates.io_gbps = inferred(23.0, "fit of ANEForge 0.4.0 on M5 Pro");
  rates.dram_gbps = inferred(157.0, "fit of ANEForge 0.4.0 on M5 Pro");
  rates.dispatch_us = measured(75.0, "m5pro", "ANEForge 0.4.0");
  rates.int8_speedup =
      inferred(35.1 / 18.6, "maderix/ANE README, on M4; ane-guide ch.36: eligible on M5 Pro");
  rates.on_chip_bytes = measured(4'720'000, "m5pro", "ane-guide ch.21");

  Profile base = with_product(g, {"m5", "M5", "h17", "H17", "T8142", 16, 4, 2172, 153, 4, 1, 4608});
  base.rates.weight_gbps = inferred(115.0, "at most 0.75 of the memory's rate");
  base.rates.dram_gbps = base.rates.weight_gbps;
  base.rates.dispatch_us = measured(106.0, "m5", "ane-infer: 106 direct, 117 through the daemon");
  g.family = decompiled(6, "ane-guide ch.35");
  Profile pro =
      with_product(g, {"m5pro", "M5 Pro", "h17s", "H17s", "T605x", 16, 16, 2364, 307, 10, 2, 4608});
  pro.rates.peak_fp16_tflops = measured(19.6, "m5pro", "ane-guide ch.9, 12");
  Profile max =
      with_product(g, {"m5max", "M5 Max", "h17s", "H17s", "T605x", 16, 16, 2364, 307, 12, 2, 4608});
  pro.host.matmul_gflops = measured(1898.0, "m5pro", "ane-guide ch.9");
  pro.host.stream_gbps = measured(130.4, "m5pro", "ane-guide ch.9");
  pro.host.performance_cores = inferred(10, "no specification at hand; as M4 Pro");
  max.host.performance_cores = inferred(12, "no specification at hand; as M4 Max");
  max.rates.memory_gbps = inferred(307.0, "at least that of M5 Pro");
  return {base, pro, max};
}

}  // namespace pyane::chip
