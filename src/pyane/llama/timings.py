"""Where the time of a training step goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

# Upstream's names: the device, copies from and to its surfaces, classifier and loss, embedding and
# conversions, RMSNorm on the CPU, waiting for weight gradients; and compiling, which is ours.
PHASES = ("t_ane", "t_io", "t_cls", "t_elem", "t_rms", "t_cblas_wait", "t_compile")


class Timings:
    """Seconds per phase, added up; what no phase covers is Python's own."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(PHASES, 0.0)

    def phase(self, name: str) -> _Phase:
        """Context manager that adds the time of its block to a phase."""
        return _Phase(self._seconds, name)

    def reset(self) -> None:
        """Back to zero."""
        for name in self._seconds:
            self._seconds[name] = 0.0

    def as_dict(self) -> dict[str, float]:
        """A copy: seconds by phase."""
        return dict(self._seconds)


class _Phase:
    # A class: contextlib's generators cost several times more, hundreds of times a step.
    __slots__ = ("_name", "_seconds", "_start")

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self._seconds = seconds
        self._name = name
        self._start = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._seconds[self._name] += time.perf_counter() - self._start
