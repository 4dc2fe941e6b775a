"""A figure as people report it: one number, a range, or "about so much"."""

from __future__ import annotations

import dataclasses
import math
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
        decimals: How many are shown; None: as many as tell its ends exactly.
    """

    low: float
    high: float
    approximate: bool = False
    decimals: int | None = None

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

    @property
    def spread_percent(self) -> float:
        """How much higher its upper end is than its lower, percent."""
        return 100.0 * (self.high / self.low - 1.0) if self.low > 0 else 0.0

    def __truediv__(self, other: Quantity) -> Quantity:
        """All quotients that the two ranges allow; of positive figures."""
        approximate = self.approximate or other.approximate
        return Quantity(self.low / other.high, self.high / other.low, approximate)

    def __sub__(self, other: Quantity) -> Quantity:
        """All differences that the two ranges allow."""
        approximate = self.approximate or other.approximate
        return Quantity(self.low - other.high, self.high - other.low, approximate)

    def scaled(self, factor: float) -> Quantity:
        """Times a positive number."""
        return Quantity(self.low * factor, self.high * factor, self.approximate)

    def rounded(self, digits: int = 3) -> Quantity:
        """To so many significant digits of its upper end; those before the point all stay."""
        decimals = _decimals(self.high, digits)
        low, high = round(self.low, decimals), round(self.high, decimals)
        return Quantity(low, high, self.approximate, decimals)

    def contains(self, other: Quantity) -> bool:
        """Whether all of `other` lies inside."""
        return self.low <= other.low and other.high <= self.high

    @property
    def shown_decimals(self) -> int:
        """Decimals with which its ends are shown."""
        if self.decimals is not None:
            return self.decimals
        ends = (_plain(self.low), _plain(self.high))
        return max(len(end.partition(".")[2]) for end in ends)

    def __str__(self) -> str:
        """As in the tables: "64", "69-73", "~3.5", "3.6-4.0": both ends with the same decimals."""
        numbers = (self.low, self.high) if self.is_range else (self.low,)
        ends = [_plain(number) for number in numbers]
        if self.decimals is not None or not any("e" in end for end in ends):
            ends = [f"{number:.{self.shown_decimals}f}" for number in numbers]
        return "~" * self.approximate + "-".join(ends)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def merged(quantities: Iterable[Quantity | None]) -> Quantity | None:
    """The range that covers all that are known; None if none is."""
    known = [q for q in quantities if q is not None]
    if not known:
        return None
    rounded = any(q.decimals is not None for q in known)
    return Quantity(
        min(q.low for q in known),
        max(q.high for q in known),
        any(q.approximate for q in known),
        max(q.shown_decimals for q in known) if rounded else None,
    )


def significant(number: float, digits: int) -> str:
    """A number with so many significant digits, without zeros at its end and without exponent."""
    return _plain(round(number, _decimals(number, digits)))


def _decimals(number: float, digits: int) -> int:
    if number == 0 or not math.isfinite(number):
        return 0
    return max(digits - 1 - math.floor(math.log10(abs(number))), 0)


def _plain(number: float) -> str:
    """As few digits as tell it apart; powers of ten as 1e-4."""
    if number and abs(number) < 1e-3:
        mantissa, _, exponent = f"{number:e}".partition("e")
        return f"{Decimal(mantissa).normalize():f}e{int(exponent)}"
    return f"{Decimal(repr(number)).normalize():f}"
