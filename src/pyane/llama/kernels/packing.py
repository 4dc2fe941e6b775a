"""Several tensors in one surface: inputs side by side along the last axis, outputs along channels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ... import mil
from .matrices import TransposedMatrix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...mil import Var
    from .matrices import Matrix

    Dims = tuple[int, int, int, int]

# Blocks begin at multiples of 64 bytes: rows that do not are 32 to 64 times slower (slavko, in
# chip/profile's row_alignment_bytes).
_ALIGNMENT = 32


@dataclass(frozen=True)
class Block:
    """Where one tensor lies in a packed surface [1, R, 1, W].

    Attributes:
        start: First column.
        rows: Rows used, from the first.
        columns: Columns used.
        dims: The tensor's own shape; its elements fill the block row by row.
        is_transposed: It is a matrix [1, 1, O, I], stored as [I, O].
    """

    start: int
    rows: int
    columns: int
    dims: Dims
    is_transposed: bool = False


@dataclass(frozen=True)
class InputPacking:
    """All inputs of a kernel in one tensor [1, R, 1, W], as upstream's dynamic pipeline has them.

    R is the channels of the widest activation, so that it, and the matrices that multiply it, lie
    with their channels along the surface's: [C, S] beside W^T [C, O]. What has other dimensions is
    folded: [C, S] as [R, C S / R], if R divides, else padded with unused rows.
    """

    dims: Dims
    blocks: Mapping[str, Block]

    @classmethod
    def of(cls, activations: Mapping[str, Dims], weights: Mapping[str, Dims]) -> InputPacking:
        """Places the activations, then the weights, each from a 64-byte boundary on."""
        n_rows = max(_natural(dims)[0] for dims in activations.values())
        n_rows = max(n_rows, *(min(_sides(dims)) for dims in weights.values()), 1)
        blocks: dict[str, Block] = {}
        start = 0
        for name, dims in (*activations.items(), *weights.items()):
            block = _place(start, dims, n_rows, is_weight=name in weights)
            blocks[name] = block
            start += -(-block.columns // _ALIGNMENT) * _ALIGNMENT
        return cls((1, n_rows, 1, start), blocks)

    def unpack(self, packed: Var) -> dict[str, Var | Matrix]:
        """The tensors by name, as MIL values of their own shapes; matrices in either orientation."""
        values: dict[str, Var | Matrix] = {}
        for name, block in self.blocks.items():
            part = mil.slice_by_index(
                x=packed,
                begin=[0, 0, 0, block.start],
                end=[1, block.rows, 1, block.start + block.columns],
            )
            dims = block.dims
            if block.is_transposed:
                dims = (*dims[:2], dims[3], dims[2])
            part = mil.reshape(x=part, shape=list(dims))
            values[name] = TransposedMatrix(part) if block.is_transposed else part
        return values

    def view(self, array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
        """[rows, columns] of a tensor in the packed array, to be written by `pack`."""
        block = self.blocks[name]
        view: npt.NDArray[Any] = array[
            0, : block.rows, 0, block.start : block.start + block.columns
        ]
        return view

    def pack(self, view: npt.NDArray[Any], name: str, value: npt.NDArray[Any]) -> None:
        """Copies a tensor, C-contiguous, of its own shape, to its `view`."""
        block = self.blocks[name]
        if block.is_transposed:
            np.copyto(view, value[0, 0].T)
        else:
            np.copyto(view, value.reshape(view.shape))


@dataclass(frozen=True)
class OutputPacking:
    """All outputs of a kernel in one tensor [1, R, 1, S], one after the other along the channels.

    Each is folded to rows of S elements, so every output is a contiguous part of the surface.
    """

    dims: Dims
    starts: Mapping[str, int]
    shapes: Mapping[str, Dims]

    @classmethod
    def of(cls, outputs: Mapping[str, Dims]) -> OutputPacking:
        """In the given order; the last dimension of each must be the same."""
        width = next(iter(outputs.values()))[3]
        starts: dict[str, int] = {}
        row = 0
        for name, dims in outputs.items():
            starts[name] = row * width
            row += math.prod(dims) // width
        return cls((1, row, 1, width), starts, dict(outputs))

    def concatenate(self, results: Mapping[str, Var], name: str) -> Var:
        """The one output of the program."""
        width = self.dims[3]
        parts = [
            mil.reshape(x=results[part], shape=[1, math.prod(dims) // width, 1, width])
            for part, dims in self.shapes.items()
        ]
        return mil.concat(values=parts, axis=1, name=name)


def _natural(dims: Dims) -> tuple[int, int]:
    """[B, C, 1, S] -> B C rows of S; [B K, G, S, S] -> rows of S."""
    return math.prod(dims[:3]), dims[3]


def _sides(dims: Dims) -> tuple[int, int]:
    """Outputs and inputs of a matrix [1, 1, O, I]; a norm's weight [1, 1, 1, C] is a column."""
    return (dims[2], dims[3]) if dims[2] > 1 else (dims[3], 1)


def _place(start: int, dims: Dims, n_rows: int, *, is_weight: bool) -> Block:
    rows, columns = _sides(dims) if is_weight else _natural(dims)
    if rows == n_rows:
        return Block(start, rows, columns, dims)
    if is_weight and columns == n_rows and dims[2] > 1:
        return Block(start, columns, rows, dims, is_transposed=True)
    n_elements = math.prod(dims)
    if n_elements % n_rows == 0:
        return Block(start, n_rows, n_elements // n_rows, dims)
    if rows > n_rows:  # Its other side fits; a vector is the same numbers in the same order.
        return Block(start, columns, rows, dims, is_transposed=dims[2] > 1)
    return Block(start, rows, columns, dims)
