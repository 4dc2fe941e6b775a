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

    from .kernels import KernelShape

Float16Array: TypeAlias = npt.NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A surface and the fp16 view of it. The CPU takes `surface.lock()` around using `array`."""

    surface: Surface
    array: Float16Array


class TensorPool:
    """Makes tensors whose surfaces all have one size.

    The engine wants one allocation size for all surfaces of a request (docs/ane.md), and
    weights and activations are shared between requests, so one size for the model follows. Memory
    that is never touched costs nothing on Linux; on macOS the unused ends are the price.
    """

    def __init__(self, shapes: Iterable[KernelShape]) -> None:
        """Sized for every tensor of kernels of these shapes."""
        self.n_bytes = max(
            math.prod(dims) * np.dtype(np.float16).itemsize
            for shape in shapes
            for dims in shape.tensor_shapes().values()
        )

    def new(self, shape: tuple[int, ...]) -> Tensor:
        """A tensor of zeros."""
        surface = Surface(self.n_bytes)
        return Tensor(surface, surface.array(shape, np.float16))

    def new_set(self, shape: KernelShape, names: Iterable[str]) -> dict[str, Tensor]:
        """The named tensors of a kernel shape, zeros."""
        shapes = shape.tensor_shapes()
        return {name: self.new(shapes[name]) for name in names}


def surfaces(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Surface]:
    """What `Kernel.bind` takes."""
    return {name: tensors[name].surface for name in names}
