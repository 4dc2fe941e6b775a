"""Ending a text at given strings, while it is being shown."""

from __future__ import annotations

from collections.abc import Sequence


class StopText:
    """Passes a text on until one of some strings comes, of which nothing is shown.

    What may be the beginning of such a string is held back until it is clear.

    Attributes:
        found: One has come; nothing more is passed on.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.found = False
        self._stops = [stop for stop in stops if stop]
        self._held = ""

    def add(self, text: str) -> str:
        """What of the text so far can be shown now and was not before."""
        if self.found:
            return ""
        self._held += text
        ends = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if ends:
            self.found = True
            shown, self._held = self._held[: min(ends)], ""
            return shown
        n_held = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        cut = len(self._held) - n_held
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def finish(self) -> str:
        """What was held back, when the text has ended."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Longest beginning of `stop` that `text` ends with."""
    longest = min(len(text), len(stop) - 1)
    return next(n for n in range(longest, -1, -1) if text.endswith(stop[:n]))
