"""Values of programs under construction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .constants import Constant
from .types import TensorSpec

if TYPE_CHECKING:
    from .builder import Builder


@dataclass(frozen=True, eq=False)
class Var:
    """A value in the program being built: an input, a constant, or an operation's result."""

    name: str
    spec: TensorSpec
    builder: Builder = field(repr=False)
    is_constant: bool = False
    constant: Constant | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Dimensions; None where not known."""
        return self.spec.shape

    @property
    def dtype(self) -> str:
        """MIL element type, e.g. "fp16"."""
        return self.spec.dtype

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return self.spec.rank

    @property
    def val(self) -> npt.NDArray[np.generic] | None:
        """Value of a constant; None for everything else."""
        return None if self.constant is None else self.constant.array
