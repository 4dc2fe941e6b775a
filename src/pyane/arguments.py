"""Checks of arguments before they reach the native core, whose own refusals speak of C++ types."""

from __future__ import annotations

import operator
from typing import SupportsIndex

from .errors import ShapeError

INT64_MAX = 2**63 - 1


def as_int(where: str, name: str, value: SupportsIndex, low: int = 0, high: int = INT64_MAX) -> int:
    """An integer of any kind (int, numpy.int32) in [low, high].

    Args:
        where: Function, for messages.
        name: Argument, for messages.
        value: What was given.
        low: Least value.
        high: Largest value.

    Raises:
        TypeError: It is no integer.
        ShapeError: It is out of range.
    """
    try:
        number = operator.index(value)
    except TypeError:
        msg = f"{where}: {name} must be an int, got {type(value).__name__} {value!r}"
        raise TypeError(msg) from None
    if not low <= number <= high:
        rule = f"be from {low} to {high}"
        if high == INT64_MAX:
            least = f"be at least {low}" if low else "not be negative"
            rule = least if number < low else f"be at most {high}"
        msg = f"{where}: {name} must {rule}, got {number}"
        raise ShapeError(msg)
    return number
