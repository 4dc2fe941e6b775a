"""Numbers on the axes of charts."""

from __future__ import annotations

import math


def nice_ticks(highest: float, wanted: int = 5) -> tuple[float, ...]:
    """Round numbers from 0 to at least `highest`, about `wanted` steps.

    Raises:
        ValueError: `highest` is not a positive finite number.
    """
    if not (math.isfinite(highest) and highest > 0):
        msg = f"nice_ticks: highest must be positive and finite, got {highest}"
        raise ValueError(msg)
    exponent = math.floor(math.log10(highest / wanted))
    for factor in (1, 2, 2.5, 5, 10):
        step = factor * 10.0**exponent
        if highest <= step * wanted * (1 + 1e-12):
            break
    n = math.ceil(highest / step - 1e-9)
    return tuple(round(i * step, 12 - exponent) for i in range(n + 1))
