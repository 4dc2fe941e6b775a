"""The forward pass: the forward kernels of every layer, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import train as cpu
from .step import run_steps

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .layer_kernels import LayerKernels
    from .parameters import Float32Array
    from .step import Step
    from .tensors import Tensor
    from .timings import Timings


class ForwardPass:
    """Layers bound once to their activations.

    Attributes:
        layers: Per layer, the tensors that the backward pass reads; `xin` and `xout` among them.
    """

    def __init__(self, kernels: LayerKernels, *, keep_taps: bool) -> None:
        """Makes and binds the activations.

        Args:
            kernels: The layers' programs and weights.
            keep_taps: Give every layer activations of its own, for a backward pass. Otherwise all
                layers write to the same ones, and two streams take turns.
        """
        self.layers: list[dict[str, Tensor]] = []
        self._steps: list[Step] = []
        stream = kernels.new_tensor("xin")
        reused: dict[str, Tensor] = {}
        streams = [stream, stream if keep_taps else kernels.new_tensor("xin")]
        for layer in range(kernels.definitions.n_layers):
            tensors = {"xin": stream}
            if not keep_taps:
                reused["xout"] = streams[(layer + 1) % 2]
            for kernel in kernels.definitions.forward:
                outputs = kernels.new_outputs(kernel, reused)
                tensors |= outputs
                if not keep_taps:
                    reused |= outputs
                self._steps.append(kernels.step(kernel, layer, tensors))
            stream = tensors["xout"]
            self.layers.append(tensors)

    @property
    def result(self) -> Tensor:
        """[B, C, 1, S]: the residual stream after the last layer."""
        return self.layers[-1]["xout"]

    def run(self, table: Float32Array, tokens: npt.NDArray[np.int32], timings: Timings) -> None:
        """Embeds tokens [B, S] int32 by table [V, C] and runs the layers; see `result`.

        Raises:
            EvaluateError: The device failed.
        """
        start = self.layers[0]["xin"]
        with timings.phase("t_elem"), start.surface.lock():
            cpu.embedding_forward(start.array, table, tokens)
        run_steps(self._steps, timings)
