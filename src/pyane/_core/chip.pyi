"""
What is known of each chip; the linter's rules.
"""
from __future__ import annotations
import typing
__all__: list[str] = ['Fact', 'Profile', 'find_profile', 'profiles']
class Fact:
    """
    One value of a chip, how it is known and from whom.
    """
    def __repr__(self) -> str:
        ...
    @property
    def description(self) -> str:
        ...
    @property
    def group(self) -> str:
        """
        identity, limits, quirks, numerics or rates.
        """
    @property
    def measured_on(self) -> str:
        """
        Names of the products it was measured on, separated by spaces.
        """
    @property
    def name(self) -> str:
        ...
    @property
    def source(self) -> str:
        ...
    @property
    def status(self) -> str:
        """
        measured, decompiled, published, predicted, inferred or contested.
        """
    @property
    def value(self) -> None | bool | int | float | str:
        """
        None: there is no such bound.
        """
class Profile:
    """
    A chip. Use pyane.chips.
    """
    @property
    def facts(self) -> list[Fact]:
        """
        In the order of the fields.
        """
    @property
    def generation(self) -> int:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def product(self) -> str:
        ...
def find_profile(name: str) -> Profile:
    """
    The chip of that name, e.g. "m1max" or "M1 Max". Raises ConfigError.
    """
def profiles() -> list:
    """
    Every chip, oldest first.
    """
