#include "pyane/emulator/recorder.h"

#include <algorithm>
#include <string>
#include <utility>

namespace pyane::emulator {
namespace {

/// Bytes of a tensor in memory; what is broadcast counts once.
std::uint64_t bytes_of(const TensorLayout& layout) {
  if (layout.rank < 0) return 0;
  std::uint64_t count = 1;
  for (int i = 0; i < layout.rank; ++i) {
    const auto dim = static_cast<std::size_t>(i);
    if (layout.strides[dim] != 0) count *= static_cast<std::uint64_t>(layout.dims[dim]);
  }
  return count * static_cast<std::uint64_t>(layout.element_bytes());
}

std::uint64_t bytes_of(const Plan& plan, std::size_t group) {
  std::uint64_t sum = 0;
  for (const PlannedStep& step : plan.steps) {
    if (step.group != group) continue;
    for (std::size_t i = 0; i < step.n_inputs + step.n_outputs; ++i) {
      sum += bytes_of(plan.tensors[step.first_tensor + i].layout);
    }
  }
  return sum;
}

}  // namespace

thread_local constinit Recorder* Recorder::active_ = nullptr;

Recorder::Recorder() : start_(Clock::now()) {
  profile_.spans.reserve(1024);
  active_ = this;
  observe_pool(this);
}

Recorder::~Recorder() {
  observe_pool(nullptr);
  active_ = nullptr;
}

std::int64_t Recorder::since_start(Clock::time_point time) const {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time - start_).count();
}

std::size_t Recorder::index_of(const Plan& plan, std::size_t group, std::size_t parent) {
  std::vector<std::size_t>& indices = indices_[&plan];
  indices.resize(plan.groups.size(), kNone);
  std::size_t& index = indices[group];
  if (index != kNone) return index;
  index = profile_.groups.size();
  const PlannedGroup& planned = plan.groups[group];
  ProfileGroup found;
  found.operations.assign(planned.operations.begin(), planned.operations.end());
  found.output = planned.output;
  found.line = planned.line;
  found.flops = planned.flops;
  if (parent != kNone) found.parent = parent;
  if (!planned.is_control) found.n_bytes = bytes_of(plan, group);
  profile_.groups.push_back(std::move(found));
  return index;
}

void Recorder::add(std::size_t group, std::int64_t begin, std::int64_t end) {
  profile_.groups[group].total_ns += end - begin;
  const std::lock_guard lock(mutex_);
  if (profile_.spans.size() >= kMaxProfileSpans) return;
  profile_.spans.push_back({.thread = 0, .group = group, .begin_ns = begin, .end_ns = end});
}

void Recorder::worked(int thread, Clock::time_point begin, Clock::time_point end) {
  // The caller's own part is in the step's span.
  if (thread == 0) return;
  const std::lock_guard lock(mutex_);
  if (profile_.spans.size() >= kMaxProfileSpans) return;
  // The step does not end before its threads do, so `current_` stands still here.
  profile_.spans.push_back({.thread = thread,
                            .group = current_,
                            .begin_ns = since_start(begin),
                            .end_ns = since_start(end)});
}

Profile Recorder::finish() {
  profile_.total_ns = now();
  return std::move(profile_);
}

}  // namespace pyane::emulator
