"""A layer's kernels on a device: compiled, and bound to tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .kernels import (
    CLASSIFIER_BACKWARD,
    CLASSIFIER_FORWARD,
    Interface,
    backward_kernels,
    forward_kernels,
    static_backward_kernels,
    static_forward_kernels,
)
from .kernels.interface import PACKED_OUTPUT
from .options import chip_limit
from .step import Copy
from .tensors import surfaces

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .. import Device, Surface
    from .config import Config
    from .kernels import KernelDefinition, KernelShape
    from .options import PipelineOptions
    from .parameters import Parameters
    from .step import Step
    from .tensors import Tensor, TensorPool


@dataclass(frozen=True)
class Definitions:
    """The kernels that run for each of `n_layers` layers."""

    forward: tuple[KernelDefinition, ...]
    backward: tuple[KernelDefinition, ...]
    n_layers: int

    @classmethod
    def of_layers(cls, config: Config, options: PipelineOptions) -> Definitions:
        """Those of the model's layers."""
        with_norms = options.rmsnorm_backward == "ane"
        if options.pipeline == "static":
            forward = static_forward_kernels(config)
            backward = static_backward_kernels(config, with_norms=with_norms)
        else:
            forward = forward_kernels(config)
            backward = backward_kernels(config, with_norms=with_norms)
        return cls(forward, backward, config.n_layers)

    @classmethod
    def of_classifier(cls, n_parts: int) -> Definitions:
        """Those of the classifier, whose parts are its layers."""
        return cls((CLASSIFIER_FORWARD,), (CLASSIFIER_BACKWARD,), n_parts)

    @property
    def weights(self) -> set[str]:
        """Names of a layer's weights."""
        return {name for kernel in self.forward + self.backward for name in kernel.weights}


class LayerKernels(ABC):
    """The programs of a layer for one number of sequences and positions, and the layers' weights.

    Attributes:
        shape: What the kernels are compiled for.
        definitions: The kernels, and for how many layers.
        n_compiles: Compilations so far.
    """

    def __init__(
        self,
        device: Device,
        shape: KernelShape,
        definitions: Definitions,
        options: PipelineOptions,
        pool: TensorPool,
    ) -> None:
        """Nothing is compiled yet."""
        self.shape = shape
        self.definitions = definitions
        self.n_compiles = 0
        self._device = device
        self._pool = pool
        self._interfaces = {
            interface.kernel.name: interface
            for interface in interfaces(shape, definitions, options)
        }
        self._staging: dict[tuple[str, str], Tensor] = {}

    @property
    def n_compiles_needed(self) -> int:
        """Compilations that the next `upload` makes."""
        return 0

    @abstractmethod
    def step(self, kernel: KernelDefinition, layer: int, tensors: Mapping[str, Tensor]) -> Step:
        """Binds a kernel to a layer's tensors and weights."""

    @abstractmethod
    def upload(self, parameters: Parameters) -> None:
        """Rounds the layers' weights to fp16 and puts them where the device reads them."""

    @abstractmethod
    def close(self) -> None:
        """Unloads the kernels."""

    def new_outputs(
        self, kernel: KernelDefinition, given: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Tensors for what a kernel writes; those that are `given` only if they can be bound."""
        interface = self._interfaces[kernel.name]
        if interface.outputs is not None:
            return self._pool.new_parts(interface.outputs)
        shapes = self.shape.tensor_shapes()
        given = given or {}
        return {name: given.get(name) or self._pool.new(shapes[name]) for name in kernel.outputs}

    def new_tensor(self, name: str) -> Tensor:
        """A tensor that the CPU writes."""
        return self._pool.new(self.shape.tensor_shapes()[name])

    def _bind_outputs(
        self, kernel: KernelDefinition, tensors: Mapping[str, Tensor]
    ) -> dict[str, Surface]:
        if self._interfaces[kernel.name].outputs is not None:
            return {PACKED_OUTPUT: tensors[kernel.outputs[0]].surface}
        return surfaces(tensors, kernel.outputs)

    def _bind_separately(
        self, kernel: KernelDefinition, tensors: Mapping[str, Tensor]
    ) -> tuple[dict[str, Surface], list[Copy]]:
        """A surface for every activation; a copy of those that lie among others."""
        bound: dict[str, Surface] = {}
        copies: list[Copy] = []
        for name in kernel.inputs:
            tensor = tensors[name]
            if tensor.is_part:
                key = (kernel.name, name)
                if key not in self._staging:
                    self._staging[key] = self._pool.new(tensor.array.shape)
                staged = self._staging[key]
                copies.append(Copy(tensor, staged.surface, staged.array))
                tensor = staged
            bound[name] = tensor.surface
        return bound, copies


def interfaces(
    shape: KernelShape, definitions: Definitions, options: PipelineOptions
) -> list[Interface]:
    """The programs that `LayerKernels` of these options compiles."""
    return [
        Interface(
            kernel,
            shape,
            bakes_weights=options.pipeline == "static",
            packs_inputs=options.weights_as == "packed",
            packs_outputs=options.taps == "concat",
            separate_blobs=options.blobs == "per-matrix",
        )
        for kernel in definitions.forward + definitions.backward
    ]


def fits(
    shape: KernelShape, definitions: Definitions, options: PipelineOptions, chip: str | None
) -> bool:
    """Whether what is packed is no wider, and has no more channels, than a chip bears."""
    width, channels = (chip_limit(chip, name) for name in ("max_width", "max_channels"))
    return all(
        packing is None or (packing.dims[1] <= channels and packing.dims[3] <= width)
        for interface in interfaces(shape, definitions, options)
        for packing in (interface.inputs, interface.outputs)
    )


def surface_shapes(
    shape: KernelShape, definitions: Definitions, options: PipelineOptions
) -> list[tuple[int, ...]]:
    """Shapes of everything that has a surface of its own, to size a TensorPool."""
    shapes: list[tuple[int, ...]] = []
    tensors = shape.tensor_shapes()
    for interface in interfaces(shape, definitions, options):
        kernel = interface.kernel
        names = kernel.inputs + kernel.outputs
        names += () if interface.bakes_weights else kernel.weights
        shapes += [tensors[name] for name in names]
        shapes += [packing.dims for packing in (interface.inputs, interface.outputs) if packing]
    return shapes
