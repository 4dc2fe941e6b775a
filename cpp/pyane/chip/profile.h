#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

// What is known of each chip's Neural Engine: one record per product, every value with how it is
// known and who says so. The only table of chips; rules, emulator, trainer and docs read it.
// Sources are spelled out in docs/chips.md.

namespace pyane::chip {

/// How a value is known.
enum class Status : std::uint8_t {
  kMeasured,    ///< On this very product, by the source.
  kDecompiled,  ///< Read from Apple's compiler or driver by the source.
  kPublished,   ///< Apple says so.
  kPredicted,   ///< The source's own extrapolation from tables.
  kInferred,   ///< Ours: from a sibling of the same generation, or by reading two sources together.
  kContested,  ///< Sources disagree; the value is the more careful one.
};
/// "measured", ...
std::string_view to_string(Status status);

template <class T>
struct Fact {
  T value{};
  Status status = Status::kInferred;
  std::string_view source;  ///< The original, e.g. "ane-guide ch.3".
  /// kMeasured: names of the products it was measured on, separated by spaces.
  std::string_view measured_on;
};

// What a program may contain at most. Elements unless another unit is named.
struct Limits {
  Fact<std::int64_t> max_rank;
  Fact<std::int64_t> max_width;  ///< Also of vectors and of a matmul's axes.
  Fact<std::int64_t> max_height;
  Fact<std::int64_t> max_channels;
  Fact<std::int64_t> max_batch;
  Fact<std::int64_t> max_matmul_inner;
  Fact<std::int64_t> max_conv_input_channels;
  Fact<std::int64_t> max_kernel_width;   ///< fp16 convolution: beyond it nobody saw one compile.
  Fact<std::int64_t> safe_kernel_width;  ///< Up to it all sources agree.
  Fact<std::int64_t> max_kernel_height;
  Fact<std::int64_t> safe_kernel_height;  ///< Up to it all sources agree.
  Fact<std::int64_t> max_pool_window;
  Fact<std::int64_t> max_arg_reduce_axis;
  Fact<std::int64_t> max_weight_bytes;  ///< Baked into one program.
  Fact<std::int64_t> min_surface_bytes;
  Fact<std::int64_t> min_input_width;         ///< Innermost extent of a run-time input.
  Fact<std::int64_t> row_alignment_bytes;     ///< Of the last axis, for full speed.
  Fact<std::int64_t> max_loaded_programs;     ///< In one process.
  Fact<std::int64_t> max_compiles;            ///< In one process.
  Fact<std::int64_t> max_requests_in_flight;  ///< Of one program.
};

/// What happens to a convolution whose weight is computed or given at run time.
enum class RuntimeConvWeight : std::uint8_t {
  kSupported,
  kBatchOneOnly,  ///< A batch of two or more ends the compiler's process.
  kIgnored,       ///< Compiles; the weight has no effect.
};
std::string_view to_string(RuntimeConvWeight behaviour);

/// What an overwritten weight file of a loaded model does after unloading and loading again.
enum class WeightReload : std::uint8_t { kStale, kFresh };
std::string_view to_string(WeightReload behaviour);

// Ways in which compiler, framework and silicon differ.
struct Quirks {
  /// The `n_bytes` field of a weight record must be the size of the tensor.
  Fact<bool> checks_blob_size;
  /// The data offset of a weight record must point at data inside the file.
  Fact<bool> checks_blob_data_offset;
  Fact<bool> wants_uniform_surfaces;  ///< Else evaluating fails with 0x1d.
  Fact<bool> wants_ordered_surfaces;  ///< Inputs ascend, outputs descend in size; else zeros.
  Fact<bool> binds_alphabetically;
  Fact<RuntimeConvWeight> runtime_conv_weight;
  Fact<WeightReload> weight_reload;
  Fact<bool> refuses_fp32_io;  ///< fp32 parameters with a cast inside.
  Fact<bool> refuses_concat;
  Fact<bool> refuses_affine_layer_norm;
  Fact<bool> refuses_wide_square;         ///< square, then an activation, width % 128 > 64.
  Fact<bool> refuses_zero_after_reduce;   ///< mul by 0 after a reduction.
  Fact<bool> drops_scale_after_rounding;  ///< floor, ceil, round, then mul by a scalar.
  Fact<bool> tile_poisons_process;        ///< Every later evaluate fails with 0x1d.
  Fact<bool> ignores_attention_mask;      ///< Of the native attention.
  Fact<bool> zeroes_odd_matmul;           ///< Inner extent no multiple of 32.
  Fact<bool> has_texture_unit;  ///< resize, crop_resize, resample, affine, reflected pads.
  Fact<bool> has_trigonometry;  ///< sin, cos
  Fact<bool> streams_int4_lut;  ///< Weights stay compressed on the way to the engine.
  Fact<bool> streams_sparse;
  Fact<bool> streams_int8;
  Fact<bool> streams_blockwise;
};

// Arithmetic that differs from IEEE. docs/numerics.md says how the emulator uses each.
struct Numerics {
  /// Magnitude from which a result, or a partial sum, of matmul, linear and convolutions of two or
  /// more taps is infinite. nullopt: fp16's own range.
  Fact<std::optional<float>> mac_ceiling;
  Fact<bool> flush_mac_denormals;      ///< fp16 subnormals inside a product are +0.
  Fact<bool> rounds_ties_away;         ///< 2049 becomes 2050; else 2048 (ties to even).
  Fact<std::string_view> accumulator;  ///< "lanes4" (12-bit first stage, then fp32) or "q15.16".
  /// A slice with a nonzero begin on the last axis turns magnitudes above the ceiling infinite.
  Fact<bool> width_slice_saturates;
  Fact<float> width_slice_ceiling;
  Fact<bool> w_slice_concat_wrong;  ///< concat of two or more such slices mixes elements up.
  Fact<float> int8_weight_activation_ceiling;  ///< Larger activations become infinite.
  Fact<bool> nan_becomes_infinity;             ///< NaN is +inf at the input.
  Fact<bool> indeterminate_is_zero;            ///< inf - inf, 0 * inf, sqrt(-1), log(-1) are +0.
  Fact<bool> drops_zero_sign;                  ///< -0 is +0; 1 / -0 is +inf.
  Fact<float> log_of_zero;
  Fact<bool> softplus_of_infinity_is_zero;
  Fact<bool> tabulated_activations;                ///< 33 knots, linear in between.
  Fact<std::int64_t> reduction_by_transpose_from;  ///< Reduced extent; same values, other route.
};

// Speed. docs/chips.md has the formulas.
struct Rates {
  Fact<double> clock_mhz;
  Fact<double> peak_fp16_tflops;     ///< 1e12; a multiply-add counts two.
  Fact<double> int8_speedup;         ///< Of weights and activations of one byte, over fp16.
  Fact<double> weight_gbps;          ///< 1e9 bytes/s, streaming weights.
  Fact<double> io_gbps;              ///< Inputs and outputs of a program.
  Fact<double> dram_gbps;            ///< Intermediate results that do not fit on the chip.
  Fact<double> memory_gbps;          ///< Of the whole SoC.
  Fact<double> dispatch_us;          ///< Of one evaluate.
  Fact<std::int64_t> on_chip_bytes;  ///< Working set.
};

// The CPU beside the engine, which does its share of a training step.
struct Host {
  Fact<std::int64_t> performance_cores;
  /// Clusters of performance cores: each has one unit for matrix products (AMX, SME).
  Fact<std::int64_t> matrix_units;
  Fact<double> cpu_clock_mhz;  ///< Highest, of the performance cores.
  Fact<double> matmul_gflops;  ///< fp32 matrix products of a large program's sizes, 1e9/s.
  Fact<double> stream_gbps;    ///< Passes over fp32 numbers in memory, 1e9 bytes/s.
};

struct Profile {
  std::string_view name;                   ///< "m1max"
  std::string_view product;                ///< "M1 Max"
  int generation = 1;                      ///< 1 for M1, ...
  Fact<std::string_view> architecture;     ///< As the driver says it: "h13g".
  Fact<std::string_view> compiler_target;  ///< "H13g"
  Fact<std::string_view> soc;              ///< "T6001"
  Fact<std::int64_t> family;               ///< Of the compiler, for what operations are legal.
  Fact<std::int64_t> cores;                ///< As Apple counts.
  Fact<std::int64_t> compiler_cores;       ///< As the compiler's tables count.
  Limits limits;
  Quirks quirks;
  Numerics numerics;
  Rates rates;
  Host host;
};

/// Every chip, oldest first.
std::span<const Profile> profiles();

/// The chip called `name`: "m1max", "M1 Max" and "m1-max" are the same.
/// @throws ConfigError  naming the closest one, and all.
const Profile& find_profile(std::string_view name);

/// A fact without its type, for documents and Python.
using FactValue = std::variant<std::monostate, bool, std::int64_t, double, std::string_view>;
struct FactRow {
  std::string_view group;  ///< "identity", "limits", "quirks", "numerics", "rates", "host"
  std::string_view name;   ///< The field: "max_width"
  std::string_view description;
  FactValue value;
  Status status;
  std::string_view source;
  std::string_view measured_on;
};
/// All facts of a chip, in the order of the fields.
std::vector<FactRow> facts(const Profile& profile);

}  // namespace pyane::chip
