"""The layers' weights as the device takes them: fp16."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import numpy as np

from .._core.base import float_to_half, float_to_half_transposed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .kernels import KernelShape
    from .parameters import Float32Array, Parameters
    from .tensors import Float16Array, Tensor, TensorPool

# Kernels' names for the weights that are not called the same in llama2.c.
_LLAMA2C_NAMES = {
    "rmsatt": "rms_att_weight",
    "rmsffn": "rms_ffn_weight",
    "rmsk": "rms_k_weight",
    "rmsq": "rms_q_weight",
}


def layer_weight(parameters: Parameters, name: str, layer: int) -> Float32Array:
    """A layer's weight by its name in the kernels."""
    weight: Float32Array = parameters[_LLAMA2C_NAMES.get(name, name)][layer]
    return weight


def half_weight(parameters: Parameters, name: str, layer: int, shape: KernelShape) -> Float16Array:
    """A layer's weight in the kernels' shape, rounded to fp16, half to even.

    Beyond fp16's range it becomes infinity: see Model.loss.
    """
    value = np.empty(shape.tensor_shapes()[name], np.float16)
    put_half_weight(parameters, name, layer, value)
    return value


def put_half_weight_transposed(
    parameters: Parameters, name: str, layer: int, target: Float16Array
) -> None:
    """The transpose of `half_weight` of a matrix, to [1, 1, I, O]."""
    float_to_half_transposed(layer_weight(parameters, name, layer), target[0, 0])


def put_half_weight(parameters: Parameters, name: str, layer: int, target: Float16Array) -> None:
    """`half_weight` to memory that is there."""
    if name != "wcls":
        float_to_half(layer_weight(parameters, name, layer).reshape(target.shape), target)
        return
    # The classifier's parts are its "layers"; the last is filled up with rows of zeros.
    n_rows = target.shape[2]
    rows = parameters.classifier[layer * n_rows : (layer + 1) * n_rows]
    target[0, 0, len(rows) :] = 0
    float_to_half(rows, target[0, 0, : len(rows)])


class LayerWeights:
    """A surface per matrix and layer, read by kernels of any batch and length."""

    def __init__(
        self, pool: TensorPool, shape: KernelShape, names: Iterable[str], n_layers: int
    ) -> None:
        """Zeros.

        Args:
            pool: Source of the surfaces.
            shape: Sizes.
            names: Kernels' names of the weights.
            n_layers: Layers.
        """
        shapes = shape.tensor_shapes()
        self._names = sorted(set(names))
        self.layers: list[dict[str, Tensor]] = [
            {name: pool.new(shapes[name]) for name in self._names} for _ in range(n_layers)
        ]

    def places(self, parameters: Parameters) -> list[tuple[int, Tensor]]:
        """Where every weight begins in `parameters.flat`, ascending, and its tensor."""
        found: list[tuple[int, Tensor]] = []
        for layer, tensors in enumerate(self.layers):
            for name, tensor in tensors.items():
                begin = parameters.slices[_LLAMA2C_NAMES.get(name, name)].start
                found.append((begin + layer * tensor.array.size, tensor))
        return sorted(found, key=operator.itemgetter(0))

    def upload(self, parameters: Parameters) -> None:
        """Rounds as `half_weight`."""
        for layer, tensors in enumerate(self.layers):
            for name, tensor in tensors.items():
                with tensor.surface.lock():
                    put_half_weight(parameters, name, layer, tensor.array)
