"""Where the time of a training step goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Stopwatch:
    """Seconds by part of the work. Time of a part inside another counts for the inner one only."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._inner = 0.0  # of what runs now, spent in parts within it

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds the time of its block to a part."""
        outer, self._inner = self._inner, 0.0
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self._add(name, seconds - self._inner)
            self._inner = outer + seconds

    def move(self, name: str, seconds: float) -> None:
        """Count some seconds that have just passed for another part than the one they fell in."""
        self._add(name, seconds)
        self._inner += seconds

    def take(self) -> dict[str, float]:
        """Seconds by part since the last call."""
        seconds, self._seconds = self._seconds, {}
        return seconds

    def _add(self, name: str, seconds: float) -> None:
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds
