"""Figures as people report them."""

from __future__ import annotations

from typing import Any

import pytest

from pyane.report.quantity import Quantity, merged, significant


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
    assert str(merged([Quantity(9.2, 9.2), Quantity(10.04, 10.04).rounded(2)])) == "9.2-10.0"
    assert merged([None]) is None
    assert merged([]) is None


def test_arithmetic() -> None:
    a, b = Quantity(100, 120), Quantity(50, 60, approximate=True)
    assert a / b == Quantity(100 / 60, 2.4, approximate=True)
    assert a - b == Quantity(40, 70, approximate=True)
    assert a.scaled(2) == Quantity(200, 240)
    assert Quantity(80, 100).spread_percent == 25.0


@pytest.mark.parametrize(
    ("quantity", "digits", "text"),
    [
        (Quantity(63.881, 63.881), 3, "63.9"),
        (Quantity(66, 71.234), 3, "66.0-71.2"),
        (Quantity(1234.4, 1234.4), 3, "1234"),
        (Quantity(0.0051234, 0.0051234), 3, "0.00512"),
        (Quantity(1, 1), 2, "1.0"),
        (Quantity(0.00004, 0.00004), 2, "0.000040"),
        (Quantity(0, 0), 3, "0"),
    ],
)
def test_rounded(quantity: Quantity, digits: int, text: str) -> None:
    assert str(quantity.rounded(digits)) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(95.0, "95"), (185.26, "185.3"), (123456.0, "123456"), (0.00123456, "0.001235"), (0.0, "0")],
)
def test_significant(number: float, text: str) -> None:
    assert significant(number, 4) == text


def test_contains() -> None:
    assert Quantity(143, 167).contains(Quantity(148, 163))
    assert not Quantity(148, 163).contains(Quantity(143, 160))
    assert Quantity(69, 73).middle == 71
