"""The programs of a kernel: its body between inputs and outputs as a pipeline lays them out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ... import mil
from .matrices import ConstantMatrix
from .packing import InputPacking, OutputPacking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...mil import Program, Var
    from .definition import KernelDefinition, KernelShape
    from .matrices import Matrix

# The one input of a kernel whose inputs are packed, the one output of one whose outputs are.
PACKED_INPUT, PACKED_OUTPUT = "packed", "taps"


@dataclass(frozen=True)
class Interface:
    """How a kernel's tensors enter and leave its program.

    Attributes:
        kernel: What it computes.
        shape: For which sizes.
        bakes_weights: Weights are constants; else inputs.
        packs_inputs: One input holds all (`inputs`); a kernel with a single input keeps it.
        packs_outputs: One output holds all (`outputs`), likewise.
        separate_blobs: Every constant has a weight file of its own.
    """

    kernel: KernelDefinition
    shape: KernelShape
    bakes_weights: bool = False
    packs_inputs: bool = False
    packs_outputs: bool = False
    separate_blobs: bool = True
    inputs: InputPacking | None = field(init=False)
    outputs: OutputPacking | None = field(init=False)

    def __post_init__(self) -> None:
        shapes = self.shape.tensor_shapes()
        weights = () if self.bakes_weights else self.kernel.weights
        inputs, outputs = None, None
        if self.packs_inputs and len(self.kernel.inputs) + len(weights) > 1:
            inputs = InputPacking.of(
                {name: shapes[name] for name in self.kernel.inputs},
                {name: shapes[name] for name in weights},
            )
        dims = {name: shapes[name] for name in self.kernel.outputs}
        if self.packs_outputs and len(dims) > 1 and len({d[3] for d in dims.values()}) == 1:
            outputs = OutputPacking.of(dims)
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "outputs", outputs)

    def program(self, constants: Mapping[str, npt.NDArray[np.float16]] | None = None) -> Program:
        """The kernel in MIL.

        Args:
            constants: With `bakes_weights`, the weights by name: [O, I], or [C] of a norm.
        """
        shapes = self.shape.tensor_shapes()
        if self.inputs is not None:
            specs = {PACKED_INPUT: mil.fp16[self.inputs.dims]}
        else:
            names = self.kernel.inputs + (() if self.bakes_weights else self.kernel.weights)
            specs = {name: mil.fp16[shapes[name]] for name in sorted(names)}

        def build(**given: Var) -> tuple[Var, ...] | Var:
            values: dict[str, Var | Matrix] = dict(given)
            if self.inputs is not None:
                values = self.inputs.unpack(given[PACKED_INPUT])
            if self.bakes_weights:
                values |= _baked(self.kernel, constants or {})
            results = self.kernel.body(self.shape, **values)
            if self.outputs is not None:
                by_name = {result.name: result for result in results}
                return self.outputs.concatenate(by_name, PACKED_OUTPUT)
            return results if len(results) > 1 else results[0]

        return mil.build(build, specs, separate_blobs=self.separate_blobs)


def _baked(
    kernel: KernelDefinition, constants: Mapping[str, npt.NDArray[np.float16]]
) -> dict[str, Var | Matrix]:
    values: dict[str, Var | Matrix] = {}
    for name in kernel.weights:
        weight = constants[name]
        if weight.ndim == 2:
            values[name] = ConstantMatrix(name, weight)
        else:
            values[name] = mil.const(val=weight.reshape(1, 1, 1, -1), name=name)
    return values
