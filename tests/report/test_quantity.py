"""Figures as people report them."""

from __future__ import annotations

from typing import Any

import pytest

from pyane.report.quantity import Quantity, merged


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (64, "64"),
        (100, "100"),
        (8.9, "8.9"),
        (0.88, "0.88"),
        ({"low": 148, "high": 163}, "148-163"),
        ({"low": 3.6, "high": 4.0}, "3.6-4.0"),
        ({"low": 0.57, "high": 0.6}, "0.57-0.60"),
        ({"value": 10, "approximate": True}, "~10"),
        ({"low": 12.2, "high": 12.4, "approximate": True}, "~12.2-12.4"),
        (1e-4, "1e-4"),
        ({"low": 1e-4, "high": 3.5e-4}, "1e-4-3.5e-4"),
        (0, "0"),
    ],
)
def test_text(value: Any, text: str) -> None:
    assert str(Quantity.of(value)) == text
    assert f"{Quantity.of(value):>12}" == text.rjust(12)


def test_merged() -> None:
    a, b = Quantity(69, 73), Quantity(71, 80, approximate=True)
    assert merged([a, None, b]) == Quantity(69, 80, approximate=True)
    assert merged([a]) == a
    assert merged([None]) is None
    assert merged([]) is None


def test_contains() -> None:
    assert Quantity(143, 167).contains(Quantity(148, 163))
    assert not Quantity(148, 163).contains(Quantity(143, 160))
    assert Quantity(69, 73).middle == 71
