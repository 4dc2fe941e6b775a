#pragma once

#include <string_view>
#include <vector>

#include "pyane/chip/profile.h"

// The records of chip/profile.h, one file per generation. Measurements are entered once per
// generation with the product they were made on; profile.cpp marks them as inferred elsewhere.

namespace pyane::chip {

std::vector<Profile> m1_profiles();
std::vector<Profile> m2_profiles();
std::vector<Profile> m3_profiles();
std::vector<Profile> m4_profiles();
std::vector<Profile> m5_profiles();

/// What no source finds different between generations, or was only ever seen on one.
Profile common_profile();

/// A value of Fact<T>, T taken from the field it is assigned to.
template <class V>
struct Entry {
  V value;
  Status status;
  std::string_view source;
  std::string_view measured_on = {};
  template <class T>
  operator Fact<T>() const {  // NOLINT(google-explicit-constructor): this is its purpose.
    return {static_cast<T>(value), status, source, measured_on};
  }
};

template <class V>
Entry<V> measured(V value, std::string_view on, std::string_view source) {
  return {value, Status::kMeasured, source, on};
}
template <class V>
Entry<V> decompiled(V value, std::string_view source) {
  return {value, Status::kDecompiled, source};
}
template <class V>
Entry<V> published(V value, std::string_view source) {
  return {value, Status::kPublished, source};
}
template <class V>
Entry<V> predicted(V value, std::string_view source) {
  return {value, Status::kPredicted, source};
}
template <class V>
Entry<V> inferred(V value, std::string_view source) {
  return {value, Status::kInferred, source};
}
template <class V>
Entry<V> contested(V value, std::string_view source) {
  return {value, Status::kContested, source};
}

/// What tells products of one generation apart.
struct Product {
  std::string_view name, product, architecture, target, soc;
  std::int64_t cores, compiler_cores;
  double clock_mhz, memory_gbps;
  std::int64_t performance_cores, matrix_units;
  double cpu_clock_mhz;
};
/// `generation` with the identity of `product`, its clock, and a peak of 16 engines x 256
/// multiply-adds per cycle.
Profile with_product(Profile generation, const Product& product);

}  // namespace pyane::chip
