#include "pyane/base/cpu.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <string>
#include <thread>

#include "pyane/base/error.h"

#if defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__linux__)
#include <sched.h>

#include <fstream>
#include <set>
#endif

namespace pyane {
namespace {

constexpr Isa kIsas[] = {Isa::kScalar, Isa::kNeon, Isa::kAvx2, Isa::kAvx512};

bool cpu_has(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  if (isa == Isa::kAvx2) return avx2;
  if (isa == Isa::kAvx512) {
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
#elif defined(__aarch64__)
  if (isa == Isa::kNeon) return true;
#endif
  return isa == Isa::kScalar;
}

Isa isa_from_name(std::string_view name, const char* where) {
  std::string known;
  for (const Isa isa : available_isas()) {
    if (name == isa_name(isa)) return isa;
    known += (known.empty() ? "" : ", ") + std::string(isa_name(isa));
  }
  const bool exists = std::any_of(std::begin(kIsas), std::end(kIsas),
                                  [&](Isa isa) { return name == isa_name(isa); });
  throw Error(std::string(where) + " must be one of " + known + " on this CPU, got '" +
              std::string(name) + "'" + (exists ? ", which it does not have" : ""));
}

Isa initial_isa() {
  const char* wanted = std::getenv("PYANE_ISA");
  if (wanted == nullptr || *wanted == '\0') return available_isas().back();
  return isa_from_name(wanted, "PYANE_ISA");
}

// A bad PYANE_ISA throws at every use, until it is replaced by set_isa().
constexpr int kUnset = -1;
std::atomic<int> active{kUnset};

#if defined(__linux__)
// CPUs of one core share this list; 0 when unknown.
std::size_t count_cores(const cpu_set_t& cpus) {
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &cpus)) continue;
    std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                       "/topology/thread_siblings_list");
    std::string siblings;
    if (!std::getline(file, siblings)) return 0;
    cores.insert(siblings);
  }
  return cores.size();
}

// CPUs' worth of time that a container may use (cgroup v2), rounded up; 0 for no limit.
std::size_t cpu_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0;
  double period = 0;
  if (!(file >> quota >> period) || quota <= 0 || period <= 0) return 0;  // "max 100000"
  return static_cast<std::size_t>((quota + period - 1) / period);
}
#endif

}  // namespace

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kNeon:
      return "neon";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "scalar";
}

std::vector<Isa> available_isas() {
  std::vector<Isa> result;
  for (const Isa isa : kIsas) {
    if (cpu_has(isa)) result.push_back(isa);
  }
  return result;
}

Isa active_isa() {
  const int isa = active.load(std::memory_order_relaxed);
  if (isa != kUnset) return static_cast<Isa>(isa);
  static const Isa initial = initial_isa();
  int expected = kUnset;
  active.compare_exchange_strong(expected, static_cast<int>(initial));
  return expected == kUnset ? initial : static_cast<Isa>(expected);
}

void set_isa(std::string_view name) {
  active.store(static_cast<int>(isa_from_name(name, "set_isa: name")));
}

int usable_cores() {
#if defined(__APPLE__)
  int cores = 0;
  std::size_t size = sizeof cores;
  if (sysctlbyname("hw.perflevel0.physicalcpu", &cores, &size, nullptr, 0) == 0 && cores > 0) {
    return cores;
  }
  size = sizeof cores;
  if (sysctlbyname("hw.physicalcpu", &cores, &size, nullptr, 0) == 0 && cores > 0) return cores;
#elif defined(__linux__)
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) {
    std::size_t cores = count_cores(cpus);
    if (cores == 0) cores = static_cast<std::size_t>(CPU_COUNT(&cpus));
    const std::size_t quota = cpu_quota();
    if (quota != 0) cores = std::min(cores, quota);
    if (cores != 0) return static_cast<int>(cores);
  }
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::int64_t memory_of_machine() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page_bytes <= 0) return std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(pages) * page_bytes;
}

}  // namespace pyane
