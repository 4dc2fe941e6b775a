"""One kernel of one layer, bound to its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .. import evaluate
from ..errors import EvaluateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .. import Request, Surface
    from .kernels import KernelDefinition
    from .tensors import Float16Array, Tensor
    from .timings import Timings


@dataclass(frozen=True, eq=False)
class Copy:
    """A tensor that a kernel reads from elsewhere than where it was written.

    Attributes:
        source: Where it was written.
        surface: Where the kernel reads it.
        target: That part of the surface, with as many elements as the source.
    """

    source: Tensor
    surface: Surface
    target: Float16Array

    def run(self) -> None:
        """Copies."""
        with self.source.surface.lock(read_only=True), self.surface.lock():
            np.copyto(self.target, self.source.array.reshape(self.target.shape))


@dataclass(eq=False)
class Step:
    """What `run_steps` evaluates.

    Attributes:
        kernel: What is computed.
        layer: Of which layer.
        request: Evaluates it; None while the kernel is not compiled.
        copies: To be made before.
    """

    kernel: KernelDefinition
    layer: int
    request: Request | None
    copies: tuple[Copy, ...] = ()

    def run(self, timings: Timings) -> None:
        """Copies and evaluates.

        Raises:
            EvaluateError: The device failed.
        """
        run_steps([self], timings)


def run_steps(steps: Sequence[Step], timings: Timings) -> None:
    """Runs steps in their order, without returning to Python between those that copy nothing.

    Raises:
        EvaluateError: The device failed.
    """
    ready: list[Request] = []
    for step in steps:
        if step.copies:
            if ready:
                with timings.phase("t_ane"):
                    evaluate(ready)
                ready = []
            with timings.phase("t_io"):
                for copy in step.copies:
                    copy.run()
        if step.request is None:
            msg = (
                f"{step.kernel.name} of layer {step.layer} is not compiled: the model was closed, or "
                "its last upload_weights failed"
            )
            raise EvaluateError(msg)
        ready.append(step.request)
    if ready:
        with timings.phase("t_ane"):
            evaluate(ready)
