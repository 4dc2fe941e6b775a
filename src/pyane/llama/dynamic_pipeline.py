"""Kernels compiled once for all layers and steps: weights are inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .kernels.interface import PACKED_INPUT
from .layer_kernels import LayerKernels
from .layer_weights import LayerWeights, half_weight
from .step import Copy, Step
from .tensors import surfaces

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .. import Device, Kernel, Surface
    from .kernels import Interface, KernelDefinition, KernelShape
    from .layer_kernels import Definitions
    from .options import PipelineOptions
    from .parameters import Parameters
    from .tensors import Tensor, TensorPool


class DynamicKernels(LayerKernels):
    """Weights in surfaces: one per matrix, or packed beside the activations.

    Attributes:
        weights: The former; None when they are packed.
    """

    def __init__(
        self,
        device: Device,
        shape: KernelShape,
        definitions: Definitions,
        options: PipelineOptions,
        pool: TensorPool,
        weights: LayerWeights | None = None,
    ) -> None:
        """Nothing is compiled yet.

        Args:
            device: Where to run.
            shape: Sequences and positions.
            definitions: The kernels.
            options: Layout.
            pool: Source of surfaces.
            weights: Share these instead of making some; only for weights that are inputs.
        """
        super().__init__(device, shape, definitions, options, pool)
        self._compiled: dict[str, Kernel] = {}
        self._packed: dict[tuple[str, int], Tensor] = {}
        self.weights = weights
        if weights is None and options.weights_as == "inputs":
            self.weights = LayerWeights(pool, shape, definitions.weights, definitions.n_layers)

    def step(  # noqa: D102
        self, kernel: KernelDefinition, layer: int, tensors: Mapping[str, Tensor]
    ) -> Step:
        interface = self._interfaces[kernel.name]
        if kernel.name not in self._compiled:
            self._compiled[kernel.name] = self._device.compile(interface.program())
            self.n_compiles += 1
        inputs, copies = (
            self._bind_separately(kernel, tensors)
            if interface.inputs is None
            else self._bind_packed(interface, layer, tensors)
        )
        if interface.inputs is None and kernel.weights:
            assert self.weights is not None
            inputs |= surfaces(self.weights.layers[layer], kernel.weights)
        request = self._compiled[kernel.name].bind(inputs, self._bind_outputs(kernel, tensors))
        return Step(kernel, layer, request, tuple(copies))

    def _bind_packed(
        self, interface: Interface, layer: int, tensors: Mapping[str, Tensor]
    ) -> tuple[dict[str, Surface], list[Copy]]:
        kernel, packing = interface.kernel, interface.inputs
        assert packing is not None
        # Layers take turns on what holds no weights.
        key = (kernel.name, layer if kernel.weights else -1)
        if key not in self._packed:
            self._packed[key] = self._pool.new(packing.dims)
        packed = self._packed[key]
        copies = [
            Copy(tensors[name], packed.surface, packing.view(packed.array, name))
            for name in kernel.inputs
        ]
        return {PACKED_INPUT: packed.surface}, copies

    def upload(self, parameters: Parameters) -> None:  # noqa: D102
        if self.weights is not None:
            self.weights.upload(parameters)
        for layer in range(self.definitions.n_layers):
            for name in sorted(self.definitions.weights):
                users = [
                    (interface, self._packed[kernel_name, layer])
                    for kernel_name, interface in self._interfaces.items()
                    if name in interface.kernel.weights and (kernel_name, layer) in self._packed
                ]
                if not users:
                    continue
                value = half_weight(parameters, name, layer, self.shape)
                for interface, packed in users:
                    packing = interface.inputs
                    assert packing is not None
                    with packed.surface.lock():
                        packing.pack(packing.view(packed.array, name), name, value)

    def close(self) -> None:  # noqa: D102
        for kernel in self._compiled.values():
            kernel.unload()
