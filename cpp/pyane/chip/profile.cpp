#include "pyane/chip/profile.h"

#include <algorithm>
#include <string>
#include <type_traits>

#include "pyane/base/error.h"
#include "pyane/chip/generations/generations.h"
#include "pyane/chip/profile_fields.h"
#include "pyane/mil/source.h"
#include "pyane/mil/suggest.h"

namespace pyane::chip {
namespace {

bool contains_word(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const std::size_t end = std::min(words.find(' '), words.size());
    if (words.substr(0, end) == word) return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

// A measurement holds for the product it was made on; for its siblings it is an inference.
void relax_measurements(Profile& profile) {
  visit_facts(profile, [&](std::string_view, std::string_view, std::string_view, auto& fact) {
    if (fact.status == Status::kMeasured && !contains_word(fact.measured_on, profile.name)) {
      fact.status = Status::kInferred;
    }
  });
}

std::vector<Profile> all_profiles() {
  std::vector<Profile> all;
  for (const auto generation : {m1_profiles, m2_profiles, m3_profiles, m4_profiles, m5_profiles}) {
    for (Profile& profile : generation()) {
      relax_measurements(profile);
      all.push_back(profile);
    }
  }
  return all;
}

template <class T>
FactValue to_value(const T& value) {
  if constexpr (std::is_same_v<T, std::optional<float>>) {
    return value ? FactValue(static_cast<double>(*value)) : FactValue();
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<double>(value);
  } else if constexpr (std::is_enum_v<T>) {
    return to_string(value);
  } else {
    return value;
  }
}

}  // namespace

std::string_view to_string(Status status) {
  switch (status) {
    case Status::kMeasured:
      return "measured";
    case Status::kDecompiled:
      return "decompiled";
    case Status::kPublished:
      return "published";
    case Status::kPredicted:
      return "predicted";
    case Status::kInferred:
      return "inferred";
    case Status::kContested:
      return "contested";
  }
  return "";
}

std::string_view to_string(RuntimeConvWeight behaviour) {
  switch (behaviour) {
    case RuntimeConvWeight::kSupported:
      return "supported";
    case RuntimeConvWeight::kBatchOneOnly:
      return "batch 1 only";
    case RuntimeConvWeight::kIgnored:
      return "ignored";
  }
  return "";
}

std::string_view to_string(WeightReload behaviour) {
  return behaviour == WeightReload::kStale ? "stale" : "fresh";
}

std::span<const Profile> profiles() {
  static const std::vector<Profile> all = all_profiles();
  return all;
}

const Profile& find_profile(std::string_view name) {
  std::string plain;
  for (const char c : name.substr(0, 64)) {
    if (c == ' ' || c == '-' || c == '_') continue;
    plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  std::vector<std::string_view> names;
  std::string list;
  for (const Profile& profile : profiles()) {
    if (profile.name == plain) return profile;
    names.push_back(profile.name);
    list += (list.empty() ? "" : ", ") + std::string(profile.name);
  }
  throw ConfigError("chip: must be one of " + list + ", got " + mil::quoted(name) +
                    mil::suggestion(plain, names));
}

std::vector<FactRow> facts(const Profile& profile) {
  std::vector<FactRow> rows;
  visit_facts(profile, [&](std::string_view group, std::string_view name, std::string_view text,
                           const auto& fact) {
    rows.push_back({.group = group,
                    .name = name,
                    .description = text,
                    .value = to_value(fact.value),
                    .status = fact.status,
                    .source = fact.source,
                    .measured_on = fact.measured_on});
  });
  return rows;
}

}  // namespace pyane::chip
