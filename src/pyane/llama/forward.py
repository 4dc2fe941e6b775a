"""The forward pass: three requests per layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import evaluate
from .._core import train as cpu
from .kernels import forward_kernels
from .tensors import surfaces

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .. import Device, Request
    from .kernels import KernelShape
    from .layer_weights import LayerWeights
    from .parameters import Float32Array
    from .tensors import Float16Array, Tensor, TensorPool


class ForwardPass:
    """Layers compiled for one number of sequences and positions, bound once.

    Attributes:
        shape: What the kernels are compiled for.
        layers: Per layer, the tensors that the backward pass reads; `xin` and `xout` among them.
    """

    def __init__(
        self,
        device: Device,
        pool: TensorPool,
        weights: LayerWeights,
        shape: KernelShape,
        *,
        keep_taps: bool,
    ) -> None:
        """Compiles and binds.

        Args:
            device: Where to run.
            pool: Source of the activations' surfaces.
            weights: The layers' weights.
            shape: Sequences and positions.
            keep_taps: Give every layer activations of its own, for a backward pass. Otherwise all
                layers write to the same ones, and two streams take turns.
        """
        self.shape = shape
        definitions = forward_kernels(shape.config)
        # What a layer writes, besides its result.
        names = sorted({name for kernel in definitions for name in kernel.outputs} - {"xout"})
        self.kernels = {
            kernel.name: device.compile(kernel.program(shape)) for kernel in definitions
        }
        self.layers: list[dict[str, Tensor]] = []
        self._requests: list[Request] = []
        n_layers = shape.config.n_layers
        taps = pool.new_set(shape, names)
        n_streams = n_layers + 1 if keep_taps else 2
        streams = [pool.new_set(shape, ["xin"])["xin"] for _ in range(n_streams)]
        for layer in range(n_layers):
            if keep_taps and layer > 0:
                taps = pool.new_set(shape, names)
            ends = {"xin": streams[layer % n_streams], "xout": streams[(layer + 1) % n_streams]}
            tensors = taps | ends
            self.layers.append(tensors)
            for kernel in definitions:
                request = self.kernels[kernel.name].bind(
                    surfaces(tensors | weights.layers[layer], kernel.inputs + kernel.weights),
                    surfaces(tensors, kernel.outputs),
                )
                self._requests.append(request)

    @property
    def result(self) -> Tensor:
        """[B, C, 1, S]: the residual stream after the last layer."""
        return self.layers[-1]["xout"]

    def run(self, table: Float32Array, tokens: npt.NDArray[np.int32]) -> Float16Array:
        """Embeds tokens [B, S] int32 by table [V, C] and runs the layers; returns `result`'s array."""
        start = self.layers[0]["xin"]
        with start.surface.lock():
            cpu.embedding_forward(start.array, table, tokens)
        evaluate(self._requests)
        return self.result.array

    def close(self) -> None:
        """Unloads the kernels."""
        for kernel in self.kernels.values():
            kernel.unload()
