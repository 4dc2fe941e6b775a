"""What is known of each chip's Neural Engine: limits, quirks, arithmetic, rates.

    >>> import pyane.chips
    >>> chip = pyane.chips.find("M1 Max")
    >>> chip.limits["max_width"].value
    16384
    >>> chip.limits["max_width"].status
    'measured'

Every value says how it is known and from whom (docs/chips.md lists them all). The core's table
(cpp/pyane/chip) is the only one; the linter, the emulator and the trainer read the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import chip as _chip

if TYPE_CHECKING:
    from collections.abc import Mapping

    Fact = _chip.Fact

__all__ = ["Chip", "all_chips", "find"]


class Chip:
    """One product. Immutable.

    Attributes:
        name: As `pyane.check` and `pyane.device` take it: "m1max".
        product: As Apple calls it: "M1 Max".
        generation: 1 for every M1, and so on.
        identity, limits, quirks, numerics, rates, host: Facts by name. A fact has `value`, `status`
            (measured, decompiled, published, predicted, inferred, contested), `source`,
            `measured_on` and `description`.
    """

    __slots__ = (
        "generation",
        "host",
        "identity",
        "limits",
        "name",
        "numerics",
        "product",
        "quirks",
        "rates",
    )

    name: str
    product: str
    generation: int
    identity: Mapping[str, Fact]
    limits: Mapping[str, Fact]
    quirks: Mapping[str, Fact]
    numerics: Mapping[str, Fact]
    rates: Mapping[str, Fact]
    host: Mapping[str, Fact]

    def __init__(self, profile: _chip.Profile) -> None:
        self.name = profile.name
        self.product = profile.product
        self.generation = profile.generation
        groups: dict[str, dict[str, Fact]] = {}
        for fact in profile.facts:
            groups.setdefault(fact.group, {})[fact.name] = fact
        self.identity = groups["identity"]
        self.limits = groups["limits"]
        self.quirks = groups["quirks"]
        self.numerics = groups["numerics"]
        self.rates = groups["rates"]
        self.host = groups["host"]

    def __repr__(self) -> str:
        return f"Chip('{self.name}', {self.identity['architecture'].value})"

    def __str__(self) -> str:
        lines = [self.product]
        for group in ("identity", "limits", "quirks", "numerics", "rates", "host"):
            for fact in getattr(self, group).values():
                lines.append(f"  {fact.name} = {fact.value}  ({fact.status}: {fact.source})")
        return "\n".join(lines)


def all_chips() -> list[Chip]:
    """Every chip, oldest first."""
    return [Chip(profile) for profile in _chip.profiles()]


def find(name: str) -> Chip:
    """The chip called `name`; "m1max", "M1 Max" and "m1-max" are the same.

    Raises:
        ConfigError: There is none; names the closest.
    """
    return Chip(_chip.find_profile(name))
