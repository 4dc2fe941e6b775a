"""Kernels with the layers' weights baked in, compiled again whenever these change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .baked_program import BakedProgram
from .kernels.interface import PACKED_INPUT
from .layer_kernels import LayerKernels
from .step import Copy, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .. import Device, Kernel, Surface
    from .kernels import Interface, KernelDefinition, KernelShape
    from .layer_kernels import Definitions
    from .options import PipelineOptions
    from .parameters import Parameters
    from .tensors import Tensor, TensorPool


@dataclass(frozen=True, eq=False)
class _Binding:
    """A step and the surfaces that its program, once there is one, is bound to."""

    step: Step
    inputs: dict[str, Surface]
    outputs: dict[str, Surface]

    def bind(self, compiled: Kernel) -> None:
        self.step.request = compiled.bind(self.inputs, self.outputs)


class StaticKernels(LayerKernels):
    """Five programs with weights per layer, and one without that all layers share.

    `upload` compiles those with weights; steps made before it are bound to the new programs.
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
        super().__init__(device, shape, definitions, options, pool)
        self._bindings: list[_Binding] = []
        self._programs: dict[str, BakedProgram] = {}
        self._baked: list[Kernel] = []
        self._shared: dict[str, Kernel] = {}
        self._packed: dict[str, Tensor] = {}

    def step(  # noqa: D102
        self, kernel: KernelDefinition, layer: int, tensors: Mapping[str, Tensor]
    ) -> Step:
        interface = self._interfaces[kernel.name]
        inputs, copies = (
            self._bind_separately(kernel, tensors)
            if interface.inputs is None
            else self._bind_packed(interface, tensors)
        )
        outputs = self._bind_outputs(kernel, tensors)
        step = Step(kernel, layer, None, tuple(copies))
        self._bindings.append(_Binding(step, inputs, outputs))
        return step

    @property
    def n_compiles_needed(self) -> int:  # noqa: D102
        kernels = [binding.step.kernel for binding in self._bindings]
        missing = {kernel.name for kernel in kernels if not kernel.weights} - set(self._shared)
        return len(missing) + sum(1 for kernel in kernels if kernel.weights)

    def upload(self, parameters: Parameters) -> None:  # noqa: D102
        # The old programs first: their slots are needed, and their memory.
        self._unload_baked()
        for binding in self._bindings:
            kernel, layer = binding.step.kernel, binding.step.layer
            if not kernel.weights:
                if binding.step.request is None:
                    if kernel.name not in self._shared:
                        self.n_compiles += 1
                        program = self._interfaces[kernel.name].program()
                        self._shared[kernel.name] = self._device.compile(program)
                    binding.bind(self._shared[kernel.name])
                continue
            if kernel.name not in self._programs:
                self._programs[kernel.name] = BakedProgram(self._interfaces[kernel.name])
            text, files = self._programs[kernel.name].with_weights(parameters, layer)
            self.n_compiles += 1
            compiled = self._device.compile(text, files)
            self._baked.append(compiled)
            binding.bind(compiled)

    def _bind_packed(
        self, interface: Interface, tensors: Mapping[str, Tensor]
    ) -> tuple[dict[str, Surface], list[Copy]]:
        kernel, packing = interface.kernel, interface.inputs
        assert packing is not None
        if kernel.name not in self._packed:  # activations only: layers take turns
            self._packed[kernel.name] = self._pool.new(packing.dims)
        packed = self._packed[kernel.name]
        copies = [
            Copy(tensors[name], packed.surface, packing.view(packed.array, name))
            for name in kernel.inputs
        ]
        return {PACKED_INPUT: packed.surface}, copies

    def _unload_baked(self) -> None:
        for binding in self._bindings:
            if binding.step.kernel.weights:
                binding.step.request = None
        for kernel in self._baked:
            kernel.unload()
        self._baked.clear()

    def close(self) -> None:  # noqa: D102
        self._unload_baked()
        for kernel in self._shared.values():
            kernel.unload()
