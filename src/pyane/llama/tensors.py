"""fp16 tensors in surfaces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import Surface

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .kernels.packing import OutputPacking

Float16Array: TypeAlias = npt.NDArray[np.float16]
_ITEM_BYTES = 2
_ROW_BYTES = 64


@dataclass(frozen=True, eq=False)
class Tensor:
    """A surface, or part of one, and the fp16 view of it.

    The CPU takes `surface.lock()` around using `array`, which is C-contiguous.

    Attributes:
        surface: The memory.
        array: The tensor.
        is_part: Other tensors share the surface, so it cannot be bound as this one.
    """

    surface: Surface
    array: Float16Array
    is_part: bool = False


def allocation_bytes(shape: tuple[int, ...]) -> int:
    """Bytes to allocate for an fp16 tensor.

    Tensors are packed, but the engine's compiler may count rows of 64 bytes (docs/ane.md).
    """
    row = -(-shape[-1] * _ITEM_BYTES // _ROW_BYTES) * _ROW_BYTES
    return math.prod(shape[:-1]) * row


class TensorPool:
    """Makes tensors whose surfaces all have one size.

    The engine wants one allocation size for all surfaces of a request (docs/ane.md), and
    weights and activations are shared between requests, so one size for the model follows. Memory
    that is never touched costs nothing on Linux; on macOS the unused ends are the price.
    """

    def __init__(self, shapes: Iterable[tuple[int, ...]]) -> None:
        """Sized for the largest tensor of these shapes."""
        self.n_bytes = max(map(allocation_bytes, shapes))

    def new(self, shape: tuple[int, ...]) -> Tensor:
        """A tensor of zeros."""
        surface = Surface(self.n_bytes)
        return Tensor(surface, surface.array(shape, np.float16))

    def new_parts(self, packing: OutputPacking) -> dict[str, Tensor]:
        """The tensors of a kernel that writes all of them to one surface."""
        surface = Surface(self.n_bytes)
        return {
            name: Tensor(
                surface,
                surface.array(shape, np.float16, offset=packing.starts[name] * _ITEM_BYTES),
                is_part=True,
            )
            for name, shape in packing.shapes.items()
        }


def surfaces(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Surface]:
    """What `Kernel.bind` takes."""
    return {name: tensors[name].surface for name in names}
