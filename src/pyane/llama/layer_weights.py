"""The layers' weights where the device reads them: fp16, one surface per matrix and layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.base import float_to_half
from .kernels import backward_kernels, forward_kernels

if TYPE_CHECKING:
    from .config import Config
    from .kernels import KernelShape
    from .parameters import Float32Array, Parameters
    from .tensors import Tensor, TensorPool

# Kernels' names for the weights that are not called the same in llama2.c.
_LLAMA2C_NAMES = {
    "rmsatt": "rms_att_weight",
    "rmsffn": "rms_ffn_weight",
    "rmsk": "rms_k_weight",
    "rmsq": "rms_q_weight",
}


def weight_names(config: Config) -> tuple[str, ...]:
    """Kernels' names for a layer's weights."""
    kernels = forward_kernels(config) + backward_kernels(config)
    return tuple(sorted({name for kernel in kernels for name in kernel.weights}))


def layer_weight(parameters: Parameters, name: str, layer: int) -> Float32Array:
    """A layer's weight by its name in the kernels."""
    weight: Float32Array = parameters[_LLAMA2C_NAMES.get(name, name)][layer]
    return weight


class LayerWeights:
    """Read by all kernels of a model, forward and backward, of any batch and length."""

    def __init__(self, pool: TensorPool, shape: KernelShape) -> None:
        self.layers: list[dict[str, Tensor]] = [
            pool.new_set(shape, weight_names(shape.config)) for _ in range(shape.config.n_layers)
        ]

    def upload(self, parameters: Parameters) -> None:
        """Rounds to fp16, half to even. Beyond fp16's range becomes infinity: see Model.loss."""
        for layer, tensors in enumerate(self.layers):
            for name, tensor in tensors.items():
                source = layer_weight(parameters, name, layer)
                with tensor.surface.lock():
                    float_to_half(source.reshape(tensor.array.shape), tensor.array)
