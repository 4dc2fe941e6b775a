"""The ways in which a layer's matrix can reach a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from ... import mil

if TYPE_CHECKING:
    from ...mil import Var


@dataclass(frozen=True, eq=False)
class TransposedMatrix:
    """A matrix as a value [1, 1, I, O], inputs first."""

    value: Var


def transposed_name(name: str) -> str:
    """What the constant with the transpose of a matrix is called."""
    return f"{name}t"


@dataclass(frozen=True, eq=False)
class ConstantMatrix:
    """A matrix baked into the program: its products are 1x1 convolutions.

    Attributes:
        name: Of the constant, and so of its weight file.
        values: [O, I] fp16.
    """

    name: str
    values: npt.NDArray[np.float16]

    def product(self, x: Var, *, transpose: bool, name: str | None) -> Var:
        """W x or W^T x: x [B, I, 1, S] -> [B, O, 1, S]."""
        values = self.values.T if transpose else self.values
        kernel = mil.const(
            val=np.ascontiguousarray(values)[:, :, None, None],
            name=transposed_name(self.name) if transpose else self.name,
        )
        return mil.conv(x=x, weight=kernel, name=name)


# [1, 1, O, I] as a value, or one of the above.
Matrix: TypeAlias = "Var | TransposedMatrix | ConstantMatrix"
