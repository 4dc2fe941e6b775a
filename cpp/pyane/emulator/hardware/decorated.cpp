#include "pyane/emulator/hardware/decorated.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

#include "pyane/base/thread_pool.h"
#include "pyane/emulator/hardware/values.h"

namespace pyane::emulator::hardware {
namespace {

constexpr std::size_t kAlignment = 64;
/// Elements that one thread takes at a time.
constexpr std::int64_t kChunk = 1 << 14;

bool is_half_or_float(DType dtype) { return dtype == DType::kFp16 || dtype == DType::kFp32; }

std::size_t n_bytes_of(const TensorLayout& x) {
  const auto bytes = static_cast<std::size_t>(x.count()) * x.element_bytes();
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

template <typename Body>
void for_each_element(std::int64_t n, const Body& body) {
  const std::int64_t n_chunks = (n + kChunk - 1) / kChunk;
  parallel_for(static_cast<std::size_t>(n_chunks), std::chrono::nanoseconds(n),
               [&](std::size_t chunk) {
                 const std::int64_t first = static_cast<std::int64_t>(chunk) * kChunk;
                 for (std::int64_t i = first; i < std::min(n, first + kChunk); ++i) body(i);
               });
}

void admit_all(const TensorView& x, float nan_value, std::byte* target) {
  const auto admitted = [nan_value](float value) {
    return std::isnan(value) ? nan_value : value + 0.0F;
  };
  const bool is_half = x.dtype == DType::kFp16;
  for_each_element(x.count(), [&](std::int64_t i) {
    const float value = is_half ? half_to_float(x.as<const half_bits>()[i])
                                : half_to_float(float_to_half(x.as<const float>()[i]));
    store_value(x.dtype, target, i, admitted(value));
  });
}

void emit_all(const TensorView& x) {
  const bool is_half = x.dtype == DType::kFp16;
  for_each_element(x.count(), [&](std::int64_t i) {
    const float value =
        is_half ? half_to_float(x.as<const half_bits>()[i]) : x.as<const float>()[i];
    store_value(x.dtype, x.data, i, emit(value));
  });
}

class Decorated final : public Step {
 public:
  Decorated(const PrepareContext& context, const Decoration& decoration, Prepare make)
      : decoration_(decoration) {
    std::vector<TensorView> inputs(context.inputs.begin(), context.inputs.end());
    for (TensorView& input : inputs) {
      owned_.emplace_back();
      const bool is_constant = !input.is_absent() && input.data != nullptr;
      if (!is_constant || !is_half_or_float(input.dtype)) continue;
      owned_.back().resize(n_bytes_of(input));
      admit_all(input, decoration_.nan_value, owned_.back().data());
      input.data = owned_.back().data();
    }
    if (decoration_.filter != nullptr && !owned_.empty() && !owned_[0].empty()) {
      decoration_.filter->apply(owned_[0].data());
    }
    PrepareContext inner = context;
    inner.inputs = inputs;
    inner_ = make(inner);
    offset_ = (inner_->scratch_bytes() + kAlignment - 1) / kAlignment * kAlignment;
    scratch_bytes_ = offset_;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      copies_.push_back(is_copied(i, context.inputs[i]));
      if (copies_.back()) scratch_bytes_ += n_bytes_of(context.inputs[i]);
    }
    n_views_ = inputs.size();
  }

  std::size_t scratch_bytes() const override {
    return scratch_bytes_ + n_views_ * sizeof(TensorView) + kAlignment;
  }
  bool reads_input(std::size_t i) const override {
    return owned_[i].empty() && inner_->reads_input(i);
  }

  void run(const StepArguments& arguments) const override {
    // Views of the admitted inputs, behind them: evaluating allocates nothing.
    auto* views = reinterpret_cast<TensorView*>(arguments.scratch + scratch_bytes_);
    std::byte* copy = arguments.scratch + offset_;
    for (std::size_t i = 0; i < n_views_; ++i) {
      TensorView* view = new (views + i) TensorView(arguments.inputs[i]);
      if (!owned_[i].empty()) {
        view->data = const_cast<std::byte*>(owned_[i].data());  // Steps read their inputs only.
      } else if (copies_[i]) {
        admit_all(arguments.inputs[i], decoration_.nan_value, copy);
        if (i == 0 && decoration_.filter != nullptr) decoration_.filter->apply(copy);
        view->data = copy;
        copy += n_bytes_of(arguments.inputs[i]);
      }
    }
    inner_->run({.inputs = std::span<const TensorView>(views, n_views_),
                 .outputs = arguments.outputs,
                 .scratch = arguments.scratch});
    for (const TensorView& output : arguments.outputs) {
      if (is_half_or_float(output.dtype)) emit_all(output);
    }
  }

 private:
  bool is_copied(std::size_t i, const TensorView& input) const {
    return !input.is_absent() && is_half_or_float(input.dtype) && owned_[i].empty() &&
           inner_->reads_input(i);
  }

  Decoration decoration_;
  std::vector<std::vector<std::byte>> owned_;  ///< Admitted constants; empty for the rest.
  std::unique_ptr<Step> inner_;
  std::vector<bool> copies_;
  std::size_t offset_ = 0;
  std::size_t scratch_bytes_ = 0;
  std::size_t n_views_ = 0;
};

}  // namespace

std::unique_ptr<Step> decorate(const PrepareContext& context, const Decoration& decoration,
                               Prepare make) {
  return std::make_unique<Decorated>(context, decoration, make);
}

}  // namespace pyane::emulator::hardware
