#include "pyane/emulator/kernels/registry.h"

namespace pyane::emulator {
namespace {

using mil::OpContext;

template <TileOp kOp>
TileNode plain(const OpContext&) {
  return {.op = kOp};
}

template <TileOp kOp>
TileNode with_alpha(const OpContext& op) {
  return {.op = kOp, .parameters = {static_cast<float>(op.real("alpha"))}};
}

template <TileOp kOp>
TileNode with_alpha_beta(const OpContext& op) {
  return {
      .op = kOp,
      .parameters = {static_cast<float>(op.real("alpha")), static_cast<float>(op.real("beta"))}};
}

TileNode relu6(const OpContext&) { return {.op = TileOp::kClip, .parameters = {0.0F, 6.0F}}; }

TileNode gelu(const OpContext& op) {
  const std::string mode = op.string("mode");
  if (mode == "TANH_APPROXIMATION") return {.op = TileOp::kGeluTanh};
  if (mode == "SIGMOID_APPROXIMATION") return {.op = TileOp::kGeluSigmoid};
  return {.op = TileOp::kGelu};
}

KernelRecord unary(std::string_view op, MakeTileNode tile) {
  return {.op = op, .operands = {"x"}, .tile = tile};
}

}  // namespace

std::span<const KernelRecord> activation_kernels() {
  static const KernelRecord records[] = {
      unary("clamped_relu", with_alpha_beta<TileOp::kClampedRelu>),
      unary("elu", with_alpha<TileOp::kElu>),
      unary("gelu", gelu),
      unary("leaky_relu", with_alpha<TileOp::kLeakyRelu>),
      unary("linear_activation", with_alpha_beta<TileOp::kLinear>),
      {.op = "prelu",
       .operands = {"x", "alpha"},
       .tile = plain<TileOp::kPrelu>,
       .channel_operands = true},
      unary("relu", plain<TileOp::kRelu>),
      unary("relu6", relu6),
      unary("scaled_tanh", with_alpha_beta<TileOp::kScaledTanh>),
      unary("sigmoid", plain<TileOp::kSigmoid>),
      unary("sigmoid_hard", with_alpha_beta<TileOp::kSigmoidHard>),
      unary("silu", plain<TileOp::kSilu>),
      unary("softplus", plain<TileOp::kSoftplus>),
      {.op = "softplus_parametric",
       .operands = {"x", "alpha", "beta"},
       .tile = plain<TileOp::kSoftplusParametric>,
       .channel_operands = true},
      unary("softsign", plain<TileOp::kSoftsign>),
      unary("thresholded_relu", with_alpha<TileOp::kThresholdedRelu>),
  };
  return records;
}

}  // namespace pyane::emulator
