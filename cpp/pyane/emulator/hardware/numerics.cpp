#include "pyane/emulator/hardware/numerics.h"

#include <array>
#include <utility>

namespace pyane::emulator::hardware {
namespace {

constexpr std::array<std::pair<std::string_view, Accumulator>, 3> kAccumulators = {{
    {"lanes4", Accumulator::kFourLanes},
    {"q15.16", Accumulator::kFixedPoint},
    {"exact", Accumulator::kExact},
}};

constexpr std::array<std::pair<std::string_view, Alignment>, 3> kAlignments = {{
    {"truncate", Alignment::kTruncate},
    {"floor", Alignment::kFloor},
    {"nearest-even", Alignment::kNearestEven},
}};

template <typename Names>
auto find(const Names& names, std::string_view name)
    -> std::optional<typename Names::value_type::second_type> {
  for (const auto& [known, value] : names) {
    if (known == name) return value;
  }
  return std::nullopt;
}

}  // namespace

Numerics numerics_of(const chip::Profile& profile) {
  const chip::Numerics& known = profile.numerics;
  Numerics numerics;
  numerics.accumulator =
      accumulator_from_name(known.accumulator.value).value_or(Accumulator::kFourLanes);
  if (known.mac_ceiling.value) numerics.mac_ceiling = static_cast<double>(*known.mac_ceiling.value);
  numerics.flushes_mac_denormals = known.flush_mac_denormals.value;
  numerics.rounds_ties_away = known.rounds_ties_away.value;
  if (known.int8_weight_activation_ceiling.value > 0.0F) {
    numerics.int8_activation_ceiling =
        static_cast<double>(known.int8_weight_activation_ceiling.value);
  }
  if (known.width_slice_saturates.value) {
    numerics.width_slice_ceiling = static_cast<double>(known.width_slice_ceiling.value);
  }
  numerics.uses_tables = known.tabulated_activations.value;
  numerics.log_of_zero = static_cast<double>(known.log_of_zero.value);
  numerics.softplus_of_infinity_is_zero = known.softplus_of_infinity_is_zero.value;
  return numerics;
}

std::optional<Accumulator> accumulator_from_name(std::string_view name) {
  return find(kAccumulators, name);
}
std::optional<Alignment> alignment_from_name(std::string_view name) {
  return find(kAlignments, name);
}

}  // namespace pyane::emulator::hardware
