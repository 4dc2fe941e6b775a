"""Forward passes over prompts of any length, without what a backward pass needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .dynamic_pipeline import DynamicKernels
from .forward import ForwardPass
from .kernels import KernelShape
from .layer_kernels import Definitions, surface_shapes
from .layer_weights import LayerWeights
from .options import PipelineOptions
from .tensors import TensorPool

if TYPE_CHECKING:
    import numpy.typing as npt

    from .. import Device
    from .config import Config
    from .parameters import Parameters
    from .tensors import Float16Array
    from .timings import Timings

# Prompts shorter than this share one set of kernels; longer ones the next power of two.
_SHORTEST_BUCKET = 32
_OPTIONS = PipelineOptions()


def inference_shapes(config: Config) -> list[tuple[int, ...]]:
    """Shapes of everything that has a surface, for the longest prompt."""
    shape = KernelShape(config, 1, config.seq_len)
    return surface_shapes(shape, Definitions.of_layers(config, _OPTIONS), _OPTIONS)


class Inference:
    """Three kernels for each power of two of positions, whose weights are inputs.

    Whatever the training pipeline is: baked weights would cost compilations for every length.
    """

    def __init__(
        self,
        device: Device,
        parameters: Parameters,
        shared: tuple[TensorPool, LayerWeights] | None,
    ) -> None:
        """Uploads the weights, unless those that the training kernels read can be shared.

        Args:
            device: Where to run.
            parameters: Weights.
            shared: Weights in surfaces, and where they came from, sized for `inference_shapes`, too.
        """
        config = parameters.config
        self._device = device
        self._parameters = parameters
        self._definitions = Definitions.of_layers(config, _OPTIONS)
        self._is_shared = shared is not None
        if shared is None:
            pool = TensorPool(inference_shapes(config))
            shape = KernelShape(config, 1, 1)
            shared = (
                pool,
                LayerWeights(pool, shape, self._definitions.weights, config.n_layers),
            )
        self._pool, self._weights = shared
        self._buckets: dict[int, tuple[DynamicKernels, ForwardPass]] = {}
        self.upload()

    @property
    def n_compiles(self) -> int:
        """Compilations so far."""
        return sum(kernels.n_compiles for kernels, _ in self._buckets.values())

    def upload(self) -> None:
        """Gives the device the current weights."""
        if not self._is_shared:
            self._weights.upload(self._parameters)

    def run(self, ids: npt.NDArray[np.int32], timings: Timings) -> Float16Array:
        """Residual stream [1, C, 1, S] after the layers, for ids [S]."""
        n, config = len(ids), self._parameters.config
        length = min(max(_SHORTEST_BUCKET, 1 << (n - 1).bit_length()), config.seq_len)
        if length not in self._buckets:
            shape = KernelShape(config, 1, length)
            kernels = DynamicKernels(
                self._device, shape, self._definitions, _OPTIONS, self._pool, self._weights
            )
            self._buckets[length] = kernels, ForwardPass(kernels, keep_taps=False)
        # What comes after the prompt does not matter: attention looks back only.
        padded = np.zeros((1, length), np.int32)
        padded[0, :n] = ids
        forward = self._buckets[length][1]
        forward.run(self._parameters["token_embedding_table"], padded, timings)
        with forward.result.surface.lock(read_only=True):
            return np.ascontiguousarray(forward.result.array[:, :, :, :n])

    def close(self) -> None:
        """Unloads the kernels."""
        for kernels, _ in self._buckets.values():
            kernels.close()
