"""Activations from tables: published form, largest errors and values at zero."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pyane
from pyane._core import engine

pytestmark = pytest.mark.emulator

erf = np.vectorize(math.erf)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


FUNCTIONS = {
    "gelu": lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2))),
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "tanh": np.tanh,
}
ATTRIBUTES = {"gelu": {"mode": "EXACT"}}
# ane-guide ch. 3 on M1 Max; silu's error: 751K-ANE.
WORST = {"gelu": 0.0059, "sigmoid": 0.0034, "silu": 0.015, "tanh": 0.0017}


def every_half(limit):
    x = np.arange(65536, dtype=np.uint16).view(np.float16)
    x = x[np.isfinite(x)]
    return np.sort(x[np.abs(x.astype(np.float64)) < limit])


@pytest.mark.parametrize("op", FUNCTIONS)
def test_largest_error_is_the_published_one(op, evaluate, m1):
    x = every_half(64.0)
    result = evaluate(m1, op, {"x": x}, x.shape, **ATTRIBUTES.get(op, {}))
    error = np.abs(result.astype(np.float64) - FUNCTIONS[op](x.astype(np.float64)))
    digits = 3 if WORST[op] > 0.01 else 4  # As published.
    assert round(error.max(), digits) == WORST[op]


@pytest.mark.parametrize(("op", "expected"), [("gelu", -0.000543), ("silu", -0.001259)])
def test_value_at_zero_is_the_published_one(op, expected, evaluate, m1):
    x = np.zeros(1, np.float16)
    result = evaluate(m1, op, {"x": x}, (1,), **ATTRIBUTES.get(op, {}))
    assert round(float(result[0]), 6) == expected


@pytest.mark.parametrize("op", FUNCTIONS)
def test_straight_lines_between_33_knots(op, evaluate, m1):
    """Second differences vanish but at the ends of segments, within the roundings of results."""
    knots = np.array(engine.activation_knots(op))
    assert knots.shape == (33,)
    np.testing.assert_array_equal(knots, knots.astype(np.float16))  # fp16 numbers
    low, high = {"gelu": (-4.08, 4.08), "sigmoid": (-9.938, 8.32), "silu": (-8.16, 8.16)}.get(
        op, (0, 4.51)
    )
    x = every_half(16.0)
    x = x[(x.astype(np.float64) >= low) & (x.astype(np.float64) <= high)]
    result = evaluate(m1, op, {"x": x}, x.shape, **ATTRIBUTES.get(op, {}))
    expected = np.interp(x.astype(np.float64), np.linspace(low, high, 33), knots)
    np.testing.assert_allclose(result, expected.astype(np.float16), rtol=2.0**-10, atol=2.0**-24)


@pytest.mark.parametrize(
    ("op", "below", "above"),
    [("sigmoid", 4.792e-05, 1), ("tanh", -1, 1), ("gelu", 0, 40), ("silu", 0, 40)],
)
def test_beyond_the_domain(op, below, above, evaluate, m1):
    x = np.array([-40, 40], np.float16)
    result = evaluate(m1, op, {"x": x}, (2,), **ATTRIBUTES.get(op, {}))
    np.testing.assert_array_equal(result, np.array([below, above], np.float16))


def test_all_modes_of_gelu_are_one_table(evaluate, m1):
    """751K-ANE: EXACT and TANH_APPROXIMATION give the same bits."""
    x = every_half(8.0)
    modes = ("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION")
    results = [evaluate(m1, "gelu", {"x": x}, x.shape, mode=mode) for mode in modes]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("op", FUNCTIONS)
def test_without_tables_as_ieee(op, evaluate):
    x = every_half(16.0)
    device = pyane.device(chip="m1", numerics=pyane.HardwareNumerics(uses_tables=False))
    attributes = ATTRIBUTES.get(op, {})
    result = evaluate(device, op, {"x": x}, x.shape, **attributes)
    ieee = evaluate(pyane.device("emulator"), op, {"x": x}, x.shape, **attributes)
    np.testing.assert_array_equal(result, ieee)


# ANEForge 0.4.0: relative errors of one-operation programs on M5 Pro, here as bounds. Its inputs
# are not told; these are taken from where the function is not near a zero.
BOUNDS = {
    "exp": 4.7e-4,
    "exp2": 4.8e-4,
    "sqrt": 4.3e-4 + 2.0**-11,
    "erf": 7e-4,
    "softplus": 7.8e-4,
    "softsign": 7.6e-4,
}


@pytest.mark.parametrize("op", BOUNDS)
def test_other_functions_are_within_measured_errors(op, evaluate):
    functions = {
        "exp": np.exp,
        "exp2": np.exp2,
        "sqrt": np.sqrt,
        "erf": erf,
        "softplus": lambda v: np.log1p(np.exp(v)),
        "softsign": lambda v: v / (1 + np.abs(v)),
    }
    x = np.linspace(0.1, 4, 301).astype(np.float16)
    result = evaluate(pyane.device(chip="m5", numerics="hardware"), op, {"x": x}, x.shape)
    exact = functions[op](x.astype(np.float64))
    assert (np.abs(result - exact) <= BOUNDS[op] * np.abs(exact) + 2.0**-24).all()
