"""The backward pass: six requests per layer, and the CPU's fp32 work between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._core import train as cpu
from .._core.base import float_to_half
from .kernels import backward_kernels
from .tensors import surfaces

if TYPE_CHECKING:
    from .. import Device, Request
    from .forward import ForwardPass
    from .layer_weights import LayerWeights
    from .parameters import Float32Array, Parameters
    from .tensors import Tensor, TensorPool

# Weight: gradient of its output, its input.
_PRODUCTS = {
    "w2": ("dxout", "hgate"),
    "w1": ("dh1", "xnffn"),
    "w3": ("dh3", "xnffn"),
    "wo": ("dxmid", "attn"),
    "wv": ("dvalue", "xnatt"),
    "wq": ("dquery", "xnatt"),
    "wk": ("dkey", "xnatt"),
}


@dataclass(frozen=True)
class _Run:
    """What one backward pass works on."""

    dx: Float32Array
    parameters: Parameters
    gradients: Parameters
    queue: cpu.WeightGradientQueue
    loss_scale: float

    def put_stream(self, target: Tensor) -> None:
        """Rounds the stream's gradient to fp16, for a kernel to read."""
        with target.surface.lock():
            float_to_half(self.dx, target.array)

    def submit(self, layer: int, tensors: dict[str, Tensor], *names: str) -> None:
        """Queues the gradients of weights whose factors, which it copies, are complete."""
        for name in names:
            dy, x = (tensors[factor] for factor in _PRODUCTS[name])
            with dy.surface.lock(read_only=True), x.surface.lock(read_only=True):
                self.queue.submit(
                    self.gradients[name][layer], dy.array, x.array, scale=1.0 / self.loss_scale
                )

    def through_norm(self, layer: int, name: str, dy: Tensor, x: Tensor) -> None:
        """Adds what arrives at the stream through an RMSNorm."""
        with dy.surface.lock(read_only=True), x.surface.lock(read_only=True):
            cpu.rmsnorm_backward(
                self.dx,
                self.gradients[name][layer],
                dy.array,
                x.array,
                self.parameters[name][layer],
                eps=self.parameters.config.norm_eps,
                accumulate_dx=True,
                dw_scale=1.0 / self.loss_scale,
            )

    def through_head_norm(self, layer: int, tensors: dict[str, Tensor], which: str) -> None:
        """Takes the gradient of queries ("q") or keys ("k") through their RMSNorm, head by head."""
        name, result = f"rms_{which}_weight", {"q": "dquery", "k": "dkey"}[which]
        dx, dy, x = (tensors[key] for key in (result, f"d{which}norm", f"{which}raw"))
        head_dim, positions = self.parameters.config.head_dim, x.array.shape[3]
        rows = (-1, head_dim, 1, positions)
        with (
            dx.surface.lock(),
            dy.surface.lock(read_only=True),
            x.surface.lock(read_only=True),
        ):
            cpu.rmsnorm_backward(
                dx.array.reshape(rows),
                self.gradients[name][layer],
                dy.array.reshape(rows),
                x.array.reshape(rows),
                self.parameters[name][layer],
                eps=self.parameters.config.norm_eps,
                dw_scale=1.0 / self.loss_scale,
            )


class BackwardPass:
    """Layers compiled and bound for the backward pass of one ForwardPass that keeps its taps.

    The gradient of the residual stream stays fp32 on the CPU. It, and all that is derived from it,
    is multiplied by the loss scale; only what is added to the weights' gradients is not.
    """

    def __init__(
        self, device: Device, pool: TensorPool, weights: LayerWeights, forward: ForwardPass
    ) -> None:
        """Compiles and binds."""
        shape = forward.shape
        definitions = backward_kernels(shape.config)
        self.kernels = {
            kernel.name: device.compile(kernel.program(shape)) for kernel in definitions
        }
        # Used by one layer after the other: the queue copies what it needs.
        used = {name for kernel in definitions for name in (*kernel.inputs, *kernel.outputs)}
        scratch = pool.new_set(shape, sorted(name for name in used if name.startswith("d")))
        self._layers: list[dict[str, Tensor]] = []
        self._requests: list[dict[str, Request]] = []
        for layer, taps in enumerate(forward.layers):
            tensors = taps | scratch
            self._layers.append(tensors)
            self._requests.append(
                {
                    kernel.name: self.kernels[kernel.name].bind(
                        surfaces(tensors | weights.layers[layer], kernel.inputs + kernel.weights),
                        surfaces(tensors, kernel.outputs),
                    )
                    for kernel in definitions
                }
            )

    def run(
        self,
        dx: Float32Array,
        parameters: Parameters,
        gradients: Parameters,
        queue: cpu.WeightGradientQueue,
        loss_scale: float,
    ) -> None:
        """Takes the gradient of the residual stream from the last layer's end to the embedding.

        Args:
            dx: [B, C, 1, S], times the loss scale; changed in place.
            parameters: The fp32 weights of the forward pass.
            gradients: Added to. The matrices' are complete after `queue.wait()`.
            queue: Where the matrices' gradients are computed meanwhile.
            loss_scale: What `dx` is multiplied by.
        """
        run = _Run(dx, parameters, gradients, queue, loss_scale)
        for layer in reversed(range(len(self._layers))):
            tensors, requests = self._layers[layer], self._requests[layer]

            run.put_stream(tensors["dxout"])
            run.submit(layer, tensors, "w2")
            requests["ffnBwdW2t"].evaluate()
            run.submit(layer, tensors, "w1", "w3")
            requests["ffnBwdW13t"].evaluate()
            run.through_norm(layer, "rms_ffn_weight", tensors["dxnffn"], tensors["xmid"])

            run.put_stream(tensors["dxmid"])
            run.submit(layer, tensors, "wo")
            requests["wotBwd"].evaluate()
            requests["sdpaBwd1"].evaluate()
            run.submit(layer, tensors, "wv")
            requests["sdpaBwd2"].evaluate()
            if parameters.config.qk_norm:
                run.through_head_norm(layer, tensors, "q")
                run.through_head_norm(layer, tensors, "k")
            run.submit(layer, tensors, "wq", "wk")
            requests["qkvBwd"].evaluate()
            run.through_norm(layer, "rms_att_weight", tensors["dxnatt"], tensors["xin"])

    def close(self) -> None:
        """Unloads the kernels."""
        for kernel in self.kernels.values():
            kernel.unload()
