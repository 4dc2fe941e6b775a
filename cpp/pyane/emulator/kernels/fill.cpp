#include "pyane/emulator/kernels/fill.h"

#include <cstring>

#include "pyane/base/half.h"
#include "pyane/emulator/kernels/copy.h"

namespace pyane::emulator {
namespace {

class Fill final : public Step {
 public:
  Fill(const TensorLayout& target, ElementBits value) : value_(value) {
    TensorLayout source = target;
    source.strides.fill(0);
    copy_ = make_copy(source, target);
  }

  void run(const StepArguments& arguments) const override {
    alignas(8) ElementBits value = value_;
    TensorView source;
    source.data = value.data();
    copy_->run({.inputs = std::span(&source, 1), .outputs = arguments.outputs});
  }

 private:
  ElementBits value_;
  std::unique_ptr<Step> copy_;
};

template <typename T>
ElementBits bits_of(T value) {
  ElementBits bits{};
  std::memcpy(bits.data(), &value, sizeof(value));
  return bits;
}

}  // namespace

ElementBits number_bits(double value, DType dtype) {
  if (dtype == DType::kFp16) return bits_of(float_to_half(static_cast<float>(value)));
  if (dtype == DType::kFp32) return bits_of(static_cast<float>(value));
  // Little endian: the low bytes are the narrower value.
  return bits_of(static_cast<std::int64_t>(value));
}

ElementBits value_bits(const mil::OpContext& op, const char* input, DType dtype) {
  if (dtype == DType::kBool) return bits_of(static_cast<std::uint8_t>(op.boolean(input)));
  if (dtype == DType::kFp16 || dtype == DType::kFp32) return number_bits(op.real(input), dtype);
  return bits_of(op.integer(input));
}

std::unique_ptr<Step> make_fill(const TensorLayout& target, ElementBits value) {
  return std::make_unique<Fill>(target, value);
}

}  // namespace pyane::emulator
