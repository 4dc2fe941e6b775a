"""A figure as people report it: one number, a range, or "about so much"."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from decimal import Decimal
from typing import Any


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A number or a range, exact or approximate. The unit is in the name of what holds it.

    Attributes:
        low: Its lower end.
        high: Its upper end; the same as `low` for one number.
        approximate: The source wrote "~".
    """

    low: float
    high: float
    approximate: bool = False

    @classmethod
    def of(cls, value: Any) -> Quantity:
        """From JSON: a number, {"value": 7.1, "approximate": true} or {"low": 69, "high": 73}."""
        if not isinstance(value, dict):
            return cls(value, value)
        approximate = bool(value.get("approximate", False))
        if "value" in value:
            return cls(value["value"], value["value"], approximate)
        return cls(value["low"], value["high"], approximate)

    @property
    def is_range(self) -> bool:
        """Whether it has two ends."""
        return self.low != self.high

    @property
    def middle(self) -> float:
        """Half-way between its ends."""
        return (self.low + self.high) / 2

    def contains(self, other: Quantity) -> bool:
        """Whether all of `other` lies inside."""
        return self.low <= other.low and other.high <= self.high

    def __str__(self) -> str:
        """As in the tables: "64", "69-73", "~3.5", "3.6-4.0": both ends with the same decimals."""
        ends = [_plain(self.low)] if not self.is_range else [_plain(self.low), _plain(self.high)]
        decimals = max(len(end.partition(".")[2]) for end in ends)
        numbers = (self.low, self.high)[: len(ends)]
        if not any("e" in end for end in ends):
            ends = [f"{number:.{decimals}f}" for number in numbers]
        return "~" * self.approximate + "-".join(ends)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def merged(quantities: Iterable[Quantity | None]) -> Quantity | None:
    """The range that covers all that are known; None if none is."""
    known = [q for q in quantities if q is not None]
    if not known:
        return None
    return Quantity(
        min(q.low for q in known),
        max(q.high for q in known),
        any(q.approximate for q in known),
    )


def _plain(number: float) -> str:
    """As few digits as tell it apart; powers of ten as 1e-4."""
    if number and abs(number) < 1e-3:
        mantissa, _, exponent = f"{number:e}".partition("e")
        return f"{Decimal(mantissa).normalize():f}e{int(exponent)}"
    return f"{Decimal(repr(number)).normalize():f}"
