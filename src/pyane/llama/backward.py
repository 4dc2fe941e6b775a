"""The backward pass: the backward kernels of every layer, and the CPU's fp32 work between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._core import train as cpu
from .._core.base import float_to_half
from .layer_weights import layer_weight

if TYPE_CHECKING:
    from .forward import ForwardPass
    from .layer_kernels import LayerKernels
    from .parameters import Float32Array, Parameters
    from .step import Step
    from .tensors import Tensor
    from .timings import Timings

# Weight of a layer: gradient of its output, its input.
_PRODUCTS = {
    "w2": ("dxout", "hgate"),
    "w1": ("dh1", "xnffn"),
    "w3": ("dh3", "xnffn"),
    "wo": ("dxmid", "attn"),
    "wv": ("dvalue", "xnatt"),
    "wq": ("dquery", "xnatt"),
    "wk": ("dkey", "xnatt"),
}
_FACTORS = {dy for dy, _ in _PRODUCTS.values()}
# Written by the CPU for kernels to read.
_FROM_CPU = ("dxout", "dxmid", "dquery", "dkey")


@dataclass(frozen=True)
class _Run:
    """What one backward pass works on."""

    dx: Float32Array
    parameters: Parameters
    gradients: Parameters
    queue: cpu.WeightGradientQueue
    loss_scale: float
    timings: Timings
    norms_on_device: bool
    holds_factors: bool

    def after(self, kernel_outputs: tuple[str, ...], layer: int, t: dict[str, Tensor]) -> None:
        """The CPU's part, as soon as a kernel has written what it takes."""
        for name in kernel_outputs:
            if name == ("dxffn" if self.norms_on_device else "dxnffn"):
                self._through_norm(layer, "ffn", t)
                self.put_stream(t["dxmid"])
                self.submit(layer, t, "wo")
            elif name == ("dxatt" if self.norms_on_device else "dxnatt"):
                self._through_norm(layer, "att", t)
            elif name == "dqnorm":
                self._through_head_norm(layer, t, "q")
                self.submit(layer, t, "wq")
            elif name == "dknorm":
                self._through_head_norm(layer, t, "k")
                self.submit(layer, t, "wk")
            else:
                for weight, (dy, _) in _PRODUCTS.items():
                    if dy == name:
                        self.submit(layer, t, weight)

    def put_stream(self, target: Tensor) -> None:
        """Rounds the stream's gradient to fp16, for a kernel to read."""
        with self.timings.phase("t_elem"), target.surface.lock():
            float_to_half(self.dx, target.array)

    def submit(self, layer: int, tensors: dict[str, Tensor], weight: str) -> None:
        """Queues the gradient of a weight whose factors are complete."""
        dy, x = (tensors[factor] for factor in _PRODUCTS[weight])
        with (
            self.timings.phase("t_cblas_wait"),
            dy.surface.lock(read_only=True),
            x.surface.lock(read_only=True),
        ):
            self.queue.submit(
                self.gradients[weight][layer],
                dy.array,
                x.array,
                scale=1.0 / self.loss_scale,
                hold_dy=self.holds_factors,
                hold_x=self.holds_factors,
            )

    def _through_norm(self, layer: int, half: str, t: dict[str, Tensor]) -> None:
        """Adds what arrives at the stream through an RMSNorm; the device may have been there."""
        weight = f"rms_{half}_weight"
        if self.norms_on_device:
            dx, dw = t[f"dx{half}"], t[f"dw{half}"]
            with self.timings.phase("t_elem"):
                with dx.surface.lock(read_only=True):
                    self.dx[...] += dx.array
                with dw.surface.lock(read_only=True):
                    sums = dw.array[0, 0].sum(axis=0, dtype="float32")
                self.gradients[weight][layer] += sums / self.loss_scale
            return
        dy, x = t[f"dxn{half}"], t["xmid" if half == "ffn" else "xin"]
        with (
            self.timings.phase("t_rms"),
            dy.surface.lock(read_only=True),
            x.surface.lock(read_only=True),
        ):
            cpu.rmsnorm_backward(
                self.dx,
                self.gradients[weight][layer],
                dy.array,
                x.array,
                self.parameters[weight][layer],
                eps=self.parameters.config.norm_eps,
                accumulate_dx=True,
                dw_scale=1.0 / self.loss_scale,
            )

    def _through_head_norm(self, layer: int, t: dict[str, Tensor], which: str) -> None:
        """Takes the gradient of queries ("q") or keys ("k") through their RMSNorm, head by head."""
        dx, dy, x = (t[key] for key in (f"d{_LONG[which]}", f"d{which}norm", f"{which}raw"))
        rows = (-1, self.parameters.config.head_dim, 1, x.array.shape[3])
        with (
            self.timings.phase("t_rms"),
            dx.surface.lock(),
            dy.surface.lock(read_only=True),
            x.surface.lock(read_only=True),
        ):
            cpu.rmsnorm_backward(
                dx.array.reshape(rows),
                layer_weight(self.gradients, f"rms{which}", layer),
                dy.array.reshape(rows),
                x.array.reshape(rows),
                layer_weight(self.parameters, f"rms{which}", layer),
                eps=self.parameters.config.norm_eps,
                dw_scale=1.0 / self.loss_scale,
            )


_LONG = {"q": "query", "k": "key"}


def _new_gradients(kernels: LayerKernels, earlier: dict[str, Tensor]) -> dict[str, Tensor]:
    """A layer's gradients; those that go into no weight's gradient are `earlier` ones, if any."""
    shared = {name: tensor for name, tensor in earlier.items() if name not in _FACTORS}
    tensors: dict[str, Tensor] = {}
    for kernel in kernels.definitions.backward:
        tensors |= kernels.new_outputs(kernel, shared)
    for name in _FROM_CPU:
        if name not in tensors:
            tensors[name] = shared.get(name) or kernels.new_tensor(name)
    return tensors


class BackwardPass:
    """Layers bound for the backward pass of one ForwardPass that keeps its taps.

    The gradient of the residual stream stays fp32 on the CPU. It, and all that is derived from it,
    is multiplied by the loss scale; only what is added to the weights' gradients is not.
    """

    def __init__(
        self, kernels: LayerKernels, forward: ForwardPass, *, holds_factors: bool = False
    ) -> None:
        """Makes and binds the gradients.

        Args:
            kernels: The layers' programs and weights.
            forward: What the gradients are of.
            holds_factors: Every layer keeps what its weights' gradients are made of until the queue
                computes them at the end. Otherwise layers share it, and the queue copies.
        """
        self._holds_factors = holds_factors
        self._layers: list[dict[str, Tensor]] = []
        scratch: dict[str, Tensor] = {}
        for taps in forward.layers:
            if holds_factors or not scratch:
                scratch = _new_gradients(kernels, scratch)
            self._layers.append(taps | scratch)
        self._norms_on_device = "dxffn" in self._layers[0]
        self._steps: list[list[Step]] = [
            [kernels.step(kernel, layer, tensors) for kernel in kernels.definitions.backward]
            for layer, tensors in enumerate(self._layers)
        ]

    def run(
        self,
        dx: Float32Array,
        parameters: Parameters,
        gradients: Parameters,
        queue: cpu.WeightGradientQueue,
        loss_scale: float,
        timings: Timings,
    ) -> None:
        """Takes the gradient of the residual stream from the last layer's end to the embedding.

        Args:
            dx: [B, C, 1, S], times the loss scale; changed in place.
            parameters: The fp32 weights of the forward pass.
            gradients: Added to. The matrices' are complete after `queue.wait()`.
            queue: Where the matrices' gradients are computed meanwhile.
            loss_scale: What `dx` is multiplied by.
            timings: Added to.

        Raises:
            EvaluateError: The device failed.
        """
        run = _Run(
            dx,
            parameters,
            gradients,
            queue,
            loss_scale,
            timings,
            norms_on_device=self._norms_on_device,
            holds_factors=self._holds_factors,
        )
        for layer in reversed(range(len(self._layers))):
            tensors = self._layers[layer]
            run.put_stream(tensors["dxout"])
            run.submit(layer, tensors, "w2")
            for step in self._steps[layer]:
                step.run(timings)
                run.after(step.kernel.outputs, layer, tensors)
