"""Sums of products as the engine adds them up, in NumPy, from the description in docs/numerics.md.

Written on integers scaled by powers of two and kept apart from the emulator's C++, which it checks.
Everything is vectorised over outputs; terms are taken one after the other.
"""

from __future__ import annotations

import numpy as np

GRID_BITS = 12
Array = np.ndarray


def half(x: Array, ties_away: bool = False) -> Array:
    """Nearest fp16 number as fp64; ties to even or away from zero."""
    x = np.asarray(x, np.float64)
    if not ties_away:
        with np.errstate(over="ignore"):
            return x.astype(np.float16).astype(np.float64)
    exponent = np.maximum(np.frexp(np.where(x == 0, 1.0, x))[1] - 1, -14)
    unit = np.ldexp(1.0, exponent - 10)
    rounded = np.sign(x) * np.floor(np.abs(x) / unit + 0.5) * unit
    return np.where(np.abs(rounded) > 65504, np.copysign(np.inf, x), rounded)


def _drop(steps: Array, alignment: str) -> Array:
    return {"truncate": np.trunc, "floor": np.floor, "nearest-even": np.rint}[alignment](steps)


def aligned_sum(a: Array, b: Array, alignment: str) -> Array:
    """Add on the grid of 12 bits below the larger operand's leading bit; no guard bits."""
    _, ea = np.frexp(a)
    _, eb = np.frexp(b)
    both = (a != 0) & (b != 0)
    shift = np.where(both, np.maximum(ea, eb) - GRID_BITS, 0)
    total = _drop(np.ldexp(a, -shift), alignment) + _drop(np.ldexp(b, -shift), alignment)
    return np.where(both, np.ldexp(total, shift), a + b)


def _keep_bits(x: Array, bits: int) -> Array:
    if not bits:
        return x
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.trunc(np.ldexp(mantissa, bits)), exponent - bits)


def product(
    x: Array,
    w: Array,
    *,
    accumulator: str = "lanes4",
    alignment: str = "truncate",
    accumulator_bits: int = 0,
    rounds_products: bool = False,
    ceiling: float = np.inf,
    flushes: bool = False,
    ties_away: bool = False,
    bias: Array | float = 0.0,
) -> Array:
    """x [M, K] @ w [K, N] + bias [N] of fp16 operands without NaN; fp16 numbers as fp64."""
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    m, k = x.shape
    n = w.shape[1]
    fixed = accumulator == "q15.16"
    register = np.broadcast_to(bias if fixed else 0.0, (m, n)).astype(np.float64)
    burst = np.zeros((m, n))  # the first infinity, for good

    def note(partial: Array) -> None:
        nonlocal burst
        burst = np.where((burst == 0) & (np.abs(partial) >= ceiling), np.sign(partial), burst)

    note(register)
    group = np.zeros((m, n))
    for i in range(-(-k // 4) * 4):
        if i < k:
            with np.errstate(invalid="ignore"):
                p = np.nan_to_num(x[:, i, None] * w[i], nan=0.0, posinf=np.inf, neginf=-np.inf)
        else:
            p = np.zeros((m, n))
        burst = np.where((burst == 0) & np.isinf(p), np.sign(p), burst)
        p = np.where(np.isinf(p), 0.0, p)
        if rounds_products:
            p = half(p, ties_away)
        if flushes:
            p = np.where(np.abs(p) < 2.0**-14, 0.0, p)
        if fixed and i < k:
            exponents = (np.frexp(x[:, i])[1] - 1)[:, None] + (np.frexp(w[i])[1] - 1)
            p = np.where(exponents <= -17, 0.0, np.trunc(p * 65536) / 65536)
        if accumulator != "lanes4":
            register = register + p
            note(register)
            continue
        group = p if i % 4 == 0 else aligned_sum(group, p, alignment)
        note(group)
        if i % 4 == 3:
            register = _keep_bits(register + group, accumulator_bits)
            note(register)
    result = half(register + (0.0 if fixed else half(bias)), ties_away)
    result = np.where(np.abs(result) >= ceiling, np.copysign(np.inf, result), result)
    return np.where(burst != 0, np.copysign(np.inf, burst), result) + 0.0
