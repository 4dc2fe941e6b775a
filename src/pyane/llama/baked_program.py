"""A program with weights baked in, of which only these change from one compilation to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._core.mil import BlobReference
from ..mil.blob import list_blobs
from .kernels.matrices import transposed_name
from .layer_weights import half_weight, put_half_weight, put_half_weight_transposed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Buffer

    from ..mil import Program
    from .kernels import Interface
    from .parameters import Parameters
    from .tensors import Float16Array


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a weight lies in a weight file, [1, 1, I, O] if transposed."""

    weight: str
    values: Float16Array
    is_transposed: bool


class BakedProgram:
    """A kernel's text and weight files, built once; weights are rounded into the files' memory.

    Building costs several times as much, and there are 60 to be compiled at every step of stories110m.
    Weights of a few numbers stand in the text; with such the program is built every time.
    """

    def __init__(self, interface: Interface) -> None:
        """Builds the program, its weights zero."""
        self._interface = interface
        shapes = interface.shape.tensor_shapes()
        program = self._build(
            {name: np.zeros(shapes[name], np.float16) for name in interface.kernel.weights}
        )
        self._text = str(program)
        self._files = {path: bytearray(data) for path, data in program.weights.items()}
        self._places = _places(program, self._files, interface)
        self._is_fixed = {p.weight for p in self._places} == set(interface.kernel.weights)

    def _build(self, values: Mapping[str, Float16Array]) -> Program:
        # [1, 1, O, I] of a matrix; [1, 1, 1, C] of a norm.
        return self._interface.program(
            {
                name: value.reshape(-1) if name.startswith("rms") else value[0, 0]
                for name, value in values.items()
            }
        )

    def with_weights(self, parameters: Parameters, layer: int) -> tuple[str, Mapping[str, Buffer]]:
        """Text and weight files for `Device.compile`, which copies; the next call overwrites them."""
        interface = self._interface
        if not self._is_fixed:
            program = self._build(
                {
                    name: half_weight(parameters, name, layer, interface.shape)
                    for name in interface.kernel.weights
                }
            )
            return str(program), program.weights
        for place in self._places:
            if place.is_transposed:
                put_half_weight_transposed(parameters, place.weight, layer, place.values)
            else:
                put_half_weight(parameters, place.weight, layer, place.values)
        return self._text, self._files


def _places(program: Program, files: Mapping[str, bytearray], interface: Interface) -> list[_Place]:
    names = {name: (name, False) for name in interface.kernel.weights}
    names |= {transposed_name(name): (name, True) for name in interface.kernel.weights}
    records = {(path, r.offset): r for path, file in files.items() for r in list_blobs(file)}
    shapes = interface.shape.tensor_shapes()
    places: list[_Place] = []
    for operation in program.functions[0].operations:
        if operation.type != "const" or operation.outputs[0].name not in names:
            continue
        name, is_transposed = names[operation.outputs[0].name]
        reference = operation.attributes["val"].value
        if not isinstance(reference, BlobReference):
            continue
        record = records[reference.path, reference.offset]
        *ones, rows, columns = shapes[name]
        file, n = files[reference.path], rows * columns
        values = np.frombuffer(file, np.float16, n, record.data_offset)
        dims = (*ones, columns, rows) if is_transposed else (*ones, rows, columns)
        places.append(_Place(name, values.reshape(dims), is_transposed))
    return places
