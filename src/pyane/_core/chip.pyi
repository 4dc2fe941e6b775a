"""
What is known of each chip; the linter's rules.
"""
from __future__ import annotations
import collections.abc
import typing
__all__: list[str] = ['Diagnostic', 'Fact', 'NativeOp', 'Profile', 'Rule', 'check', 'find_profile', 'find_rule', 'native_ops', 'native_support', 'profiles', 'rules']
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
        identity, limits, quirks, numerics, rates or host.
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
class NativeOp:
    """
    Which generations run an operation.
    """
    @property
    def note(self) -> str:
        ...
    @property
    def op(self) -> str:
        ...
    @property
    def source(self) -> str:
        ...
    @property
    def support(self) -> tuple:
        """
        M1 to M5: native, bridged, refused, contested or unknown.
        """
class Rule:
    """
    A rule of the linter: docs/ane_constraints.md.
    """
    def __repr__(self) -> str:
        ...
    @property
    def engine_text(self) -> str:
        """
        Empty: not known.
        """
    @property
    def evidence(self) -> str:
        ...
    @property
    def id(self) -> str:
        """
        "ANE001"; never given to another rule.
        """
    @property
    def instead(self) -> str:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def severity(self) -> str:
        ...
    @property
    def title(self) -> str:
        ...
    @property
    def why(self) -> str:
        ...
class Diagnostic:
    """
    A finding. Use pyane.check.
    """
    def __repr__(self) -> str:
        ...
    def __str__(self) -> str:
        ...
    @property
    def chip(self) -> str:
        ...
    @property
    def column(self) -> int:
        ...
    @property
    def engine_text(self) -> str:
        """
        The engine's own refusal, where known.
        """
    @property
    def evidence(self) -> str:
        ...
    @property
    def function(self) -> str:
        ...
    @property
    def instead(self) -> str:
        """
        What to write.
        """
    @property
    def is_contested(self) -> bool:
        """
        Sources disagree: take it as a warning.
        """
    @property
    def line(self) -> int:
        """
        From 1; 0 when there is no place.
        """
    @property
    def message(self) -> str:
        ...
    @property
    def name(self) -> str:
        """
        Name of the rule.
        """
    @property
    def operation(self) -> str:
        """
        Type of the operation, or empty.
        """
    @property
    def rule(self) -> str:
        """
        "ANE034"
        """
    @property
    def severity(self) -> str:
        """
        refused-at-compile, refused-at-evaluate, silently-wrong, slow or advice.
        """
    @property
    def source_name(self) -> str:
        ...
    @property
    def value(self) -> str:
        """
        Name of the value, or empty.
        """
    @property
    def why(self) -> str:
        ...
def check(text: bytes, weights: dict, chips: collections.abc.Sequence[str], function: str, source_name: str) -> list[Diagnostic]:
    """
    Every rule for every chip, without the GIL. Raises MilSyntaxError, MilVerifyError, ConfigError.
    """
def find_profile(name: str) -> Profile:
    """
    The chip of that name, e.g. "m1max" or "M1 Max". Raises ConfigError.
    """
def find_rule(id_or_name: str) -> Rule:
    """
    None when there is no such rule.
    """
def native_ops() -> list:
    """
    Every operation that a source speaks of, sorted by name.
    """
def native_support(op: str, chip: str) -> str:
    """
    native, bridged, refused, contested or unknown. Raises ConfigError.
    """
def profiles() -> list:
    """
    Every chip, oldest first.
    """
def rules() -> list:
    """
    Every rule, sorted by id.
    """
