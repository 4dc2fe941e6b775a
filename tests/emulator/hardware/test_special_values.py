"""NaN, infinities and zeros in hardware arithmetic (ane-guide ch. 3, on M1 Max)."""

from __future__ import annotations

import numpy as np
import pytest

import mil_text
import pyane

pytestmark = pytest.mark.emulator

NAN, INF = np.nan, np.inf
EPSILON = {"epsilon": np.float16(0)}


def unary(evaluate, device, op, values, **attributes):
    x = np.array(values, np.float16)
    return evaluate(device, op, {"x": x}, x.shape, **attributes)


def bits(x):
    return np.asarray(x, np.float16).view(np.uint16).tolist()


@pytest.mark.parametrize(
    ("op", "value", "expected", "attributes"),
    [
        ("relu", NAN, INF, {}),
        ("exp", NAN, INF, {}),
        ("sigmoid", NAN, 1, {}),
        ("tanh", NAN, 1, {}),
        ("erf", NAN, 1, {}),
        ("sqrt", -1, 0, {}),
        ("sqrt", -0.0, 0, {}),
        ("rsqrt", -1, 0, EPSILON),
        ("rsqrt", -0.0, INF, EPSILON),
        ("inverse", -0.0, INF, EPSILON),
        ("log", -1, 0, EPSILON),
        ("log", 0, -45440, EPSILON),
        ("log", -0.0, -45440, EPSILON),
        ("log", INF, INF, EPSILON),
        ("softplus", INF, 0, {}),
        ("softsign", INF, 0, {}),
        ("exp", 11.0859375, 65248, {}),
        ("exp", 11.09375, INF, {}),
        ("square", 255.875, 65472, {}),
        ("square", 256, INF, {}),
    ],
)
def test_unary(op, value, expected, attributes, evaluate, m1):
    assert bits(unary(evaluate, m1, op, [value], **attributes)) == bits([expected])


@pytest.mark.parametrize(
    ("op", "x", "y", "expected"),
    [
        ("sub", INF, INF, 0),
        ("add", INF, -INF, 0),
        ("mul", 0, INF, 0),
        ("mul", -0.0, INF, 0),
        ("real_div", 0, 0, 0),
        ("real_div", INF, INF, 0),
        ("real_div", 1, -0.0, INF),
        ("maximum", NAN, 3, INF),
        ("minimum", NAN, 3, 3),
        ("add", NAN, 0, INF),
        ("add", -0.0, 0, 0),
        ("add", -0.0, -0.0, 0),
        ("mul", -1, 0, 0),
        ("mul", 300, 300, INF),
    ],
)
@pytest.mark.parametrize("is_constant", [False, True])
def test_binary(op, x, y, expected, is_constant, evaluate, m1):
    x, y = np.array([x], np.float16), np.array([y], np.float16)
    arrays, attributes = {"x": x, "y": y}, {}
    if is_constant:
        attributes = {"y": arrays.pop("y")}
    assert bits(evaluate(m1, op, arrays, (1,), **attributes)) == bits([expected])


def test_nan_is_never_returned_even_where_nothing_is_computed(evaluate, m1):
    x = np.array([[1, NAN], [-NAN, -0.0]], np.float16)
    moved = evaluate(m1, "transpose", {"x": x}, (2, 2), perm=[1, 0])
    np.testing.assert_array_equal(moved, [[1, INF], [INF, 0]])


def test_comparisons_and_selection_of_nan(evaluate, m1):
    x, y = np.array([NAN, NAN], np.float16), np.array([INF, 7], np.float16)
    result = evaluate(m1, "equal", {"x": x, "y": y}, (2,), "bool")
    np.testing.assert_array_equal(result, [True, False])


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([1000, 1, 2, 3], [1, 0, 0, 0]),
        ([7, 7, 7, 7], [0.25] * 4),
        ([1, NAN, 2, 3], [0, 1, 0, 0]),
        ([INF, 5, INF, 1], [0.5, 0, 0.5, 0]),
        ([-INF] * 4, [0.25] * 4),
        ([-INF, 0, -INF, 0], [0, 0.5, 0, 0.5]),
    ],
)
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax(row, expected, axis, evaluate, m1):
    x = np.array([row, [0, 0, 0, 0]], np.float16)
    expected = np.array([expected, [0.25] * 4])
    if axis == 0:
        x, expected = x.T.copy(), expected.T
    np.testing.assert_array_equal(evaluate(m1, "softmax", {"x": x}, x.shape, axis=axis), expected)


def test_layer_norm_takes_nan_for_a_large_number(evaluate, m1):
    """The only operation where NaN and infinity differ."""
    x = np.array([[NAN, 0, 0, 0]], np.float16)
    result = evaluate(m1, "layer_norm", {"x": x}, x.shape, axes=[1])
    # Of one large value among zeros: 3 / sqrt(3) and -1 / sqrt(3).
    expected = np.array([[3, -1, -1, -1]]) / np.sqrt(3)
    np.testing.assert_allclose(result, expected, rtol=2.0**-10)
    large = evaluate(m1, "layer_norm", {"x": np.nan_to_num(x, nan=65504)}, x.shape, axes=[1])
    np.testing.assert_array_equal(result, large)
    infinite = evaluate(m1, "layer_norm", {"x": np.nan_to_num(x, nan=INF)}, x.shape, axes=[1])
    assert (infinite != result).any()


def test_fusion_of_a_chain_changes_nothing(m1, rng):
    """exp(x) - exp(x) is 0 where exp overflows: every operation replaces what it may not return."""
    kind = mil_text.tensor_type("float16", (3, 5))
    text = mil_text.program(
        {"x": kind},
        [
            mil_text.operation("exp", "e", kind, {"x": "%x"}),
            mil_text.operation("sub", "d", kind, {"x": "%e", "y": "%e"}),
            mil_text.operation("add", "result", kind, {"x": "%d", "y": "%x"}),
        ],
        ["result"],
    )
    x = (rng.normal(size=(3, 5)) * 20).astype(np.float16)
    np.testing.assert_array_equal(m1.compile(text)(x=x), x)


def test_special_values_are_ieee_without_hardware_numerics(evaluate):
    device = pyane.device("emulator", chip="m1")
    assert np.isnan(unary(evaluate, device, "relu", [NAN]))
    assert bits(unary(evaluate, device, "log", [0], **EPSILON)) == bits([-INF])
