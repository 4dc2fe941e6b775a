"""matmul and linear against fp64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import backend
import mil_text
import tolerance
from pyane._core import base


def product(x, y, transpose_x=False, transpose_y=False):
    """fp64, and the sum of magnitudes that errors are relative to."""
    x = np.swapaxes(x, -1, -2) if transpose_x else x
    y = np.swapaxes(y, -1, -2) if transpose_y else y
    x, y = x.astype(np.float64), y.astype(np.float64)
    return np.matmul(x, y), np.matmul(abs(x), abs(y)), x.shape[-1]


def evaluate(text, **arrays):
    with backend.device().compile(text) as kernel:
        return kernel(**arrays)


def random(rng, shape, dtype="float16"):
    return rng.normal(size=shape).astype(dtype)


def check(result, x, y, **transposes):
    expected, magnitude, n_terms = product(x, y, **transposes)
    bound = tolerance.sum_bound(expected, magnitude, n_terms, result.dtype)
    assert result.shape == expected.shape
    assert (abs(result.astype(np.float64) - expected) <= bound).all()


MATRICES = [
    # m, k, n: ones, primes, either side of tiles (6, 14, 16, 32 wide), blocks and steps along k.
    (1, 1, 1),
    (1, 7, 1),
    (13, 17, 19),
    (14, 16, 32),
    (15, 33, 31),
    (64, 64, 64),
    (1, 300, 45),
    (97, 300, 2),
    (40, 520, 70),
]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("transpose_x", [False, True])
@pytest.mark.parametrize("transpose_y", [False, True])
@pytest.mark.parametrize(("m", "k", "n"), MATRICES)
def test_matrices(m, k, n, transpose_x, transpose_y, dtype, rng):
    x = random(rng, (k, m) if transpose_x else (m, k), dtype)
    y = random(rng, (n, k) if transpose_y else (k, n), dtype)
    flags = {"transpose_x": transpose_x, "transpose_y": transpose_y}
    text = mil_text.single("matmul", {"x": x, "y": y}, dtype, (m, n), **flags)
    check(evaluate(text, x=x, y=y), x, y, **flags)


BATCHES = [
    ((3, 5, 7), (3, 7, 4)),
    ((3, 5, 7), (7, 4)),
    ((5, 7), (3, 7, 4)),
    ((2, 1, 5, 7), (3, 7, 4)),
    ((1, 4, 5, 7), (2, 1, 7, 33)),
    ((2, 3, 1, 5, 7), (1, 2, 7, 4)),
    ((7,), (7, 4)),
    ((5, 7), (7,)),
    ((7,), (7,)),
    ((7,), (2, 3, 7, 4)),
    ((2, 3, 5, 7), (7,)),
    ((1, 12, 33, 17), (1, 12, 17, 33)),
]


@pytest.mark.parametrize(("x_shape", "y_shape"), BATCHES)
@pytest.mark.parametrize("constant", ["", "x", "y"])
def test_batches(x_shape, y_shape, constant, rng):
    arrays = {"x": random(rng, x_shape), "y": random(rng, y_shape)}
    shape = np.matmul(arrays["x"], arrays["y"]).shape
    given = {name: array for name, array in arrays.items() if name != constant}
    attributes = {constant: arrays[constant]} if constant else {}
    text = mil_text.single("matmul", given, "float16", shape, **attributes)
    check(evaluate(text, **given), **arrays)


@pytest.mark.parametrize("permutation", [(0, 2, 1, 3), (0, 3, 2, 1), (1, 0, 3, 2)])
def test_operands_and_result_behind_transposes(permutation, rng):
    """Views in place of copies, as the planner makes them, give the same sums."""
    x, y = random(rng, (2, 3, 5, 7)), random(rng, (2, 3, 5, 7))
    xt, yt = x.transpose(permutation), y.transpose(permutation)
    inner = np.matmul(xt, yt.swapaxes(-1, -2)).shape
    outer = tuple(inner[i] for i in permutation)
    types = [mil_text.tensor_type("float16", shape) for shape in (xt.shape, inner, outer)]
    lines = [
        mil_text.operation("transpose", "a", types[0], {"x": "%x", "perm": list(permutation)}),
        mil_text.operation("transpose", "b", types[0], {"x": "%y", "perm": list(permutation)}),
        mil_text.operation("matmul", "c", types[1], {"x": "%a", "y": "%b", "transpose_y": True}),
        mil_text.operation("transpose", "result", types[2], {"x": "%c", "perm": list(permutation)}),
    ]
    kind = mil_text.tensor_type("float16", x.shape)
    text = mil_text.program({"x": kind, "y": kind}, lines, ["result"])
    result = evaluate(text, x=x, y=y)
    inverse = np.argsort(permutation)
    check(result.transpose(inverse), xt, yt, transpose_y=True)


def test_int32_wraps_around(rng):
    x = rng.integers(-(2**31), 2**31, size=(2, 5, 7)).astype(np.int32)
    y = rng.integers(-(2**31), 2**31, size=(4, 7)).astype(np.int32)
    text = mil_text.single("matmul", {"x": x, "y": y}, "int32", (2, 5, 4), transpose_y=True)
    expected = np.matmul(x.astype(np.uint32), y.T.astype(np.uint32)).astype(np.int32)
    np.testing.assert_array_equal(evaluate(text, x=x, y=y), expected)


def test_overflow_nan_and_infinity():
    """fp32 sums pass 65504 and come back; what stays too large is infinite; NaN spreads."""
    x = np.array([[300, 300], [300, -300], [np.inf, 0], [np.nan, 0]], np.float16)
    y = np.array([[300], [300]], np.float16)
    text = mil_text.single("matmul", {"x": x, "y": y}, "float16", (4, 1))
    np.testing.assert_array_equal(evaluate(text, x=x, y=y)[:, 0], [np.inf, 0, np.inf, np.nan])


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("m", "k", "n"), [(70, 300, 90), (3, 700, 200), (200, 90, 3)])
def test_same_bits_for_any_number_of_threads(m, k, n, rng):
    x, y = random(rng, (2, m, k)), random(rng, (2, k, n))
    text = mil_text.single("matmul", {"x": x, "y": y}, "float16", (2, m, n))
    before = base.num_threads()
    results = []
    for threads in (1, 2, 3, 4):
        base.set_num_threads(threads)
        results.append(evaluate(text, x=x, y=y))
    base.set_num_threads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("shape", [(7,), (1, 7), (33, 7), (2, 3, 5, 7), (20, 300)])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("outputs", [1, 19, 50])
def test_linear(shape, has_bias, dtype, outputs, rng):
    x = random(rng, shape, dtype)
    weight = random(rng, (outputs, shape[-1]), dtype)
    bias = random(rng, outputs, dtype)
    constants = {"weight": weight} | ({"bias": bias} if has_bias else {})
    text = mil_text.single("linear", {"x": x}, dtype, (*shape[:-1], outputs), **constants)
    result = evaluate(text, x=x)
    expected, magnitude, n_terms = product(x, weight.T)
    if has_bias:
        expected, magnitude = expected + bias, magnitude + abs(bias)
    bound = tolerance.sum_bound(expected, magnitude, n_terms + 1, dtype)
    assert (abs(result.astype(np.float64) - expected) <= bound).all()


def test_linear_on_transposed_input(rng):
    x, weight, bias = random(rng, (3, 7, 5)), random(rng, (4, 7)), random(rng, 4)
    text = mil_text.program(
        {"x": mil_text.tensor_type("float16", x.shape)},
        [
            mil_text.operation(
                "transpose",
                "t",
                mil_text.tensor_type("float16", (3, 5, 7)),
                {"x": "%x", "perm": [0, 2, 1]},
            ),
            mil_text.operation(
                "linear",
                "result",
                mil_text.tensor_type("float16", (3, 5, 4)),
                {"x": "%t", "weight": weight, "bias": bias},
            ),
        ],
        ["result"],
    )
    expected, magnitude, n_terms = product(x.transpose(0, 2, 1), weight.T)
    bound = tolerance.sum_bound(expected + bias, magnitude + abs(bias), n_terms + 1, "float16")
    assert (abs(evaluate(text, x=x) - (expected + bias)) <= bound).all()


def test_against_torch(rng):
    torch = pytest.importorskip("torch")
    x, y = random(rng, (3, 20, 50), "float32"), random(rng, (3, 50, 30), "float32")
    text = mil_text.single("matmul", {"x": x, "y": y}, "float32", (3, 20, 30))
    expected = torch.matmul(torch.from_numpy(x), torch.from_numpy(y)).numpy()
    _, magnitude, n_terms = product(x, y)
    bound = 2 * tolerance.sum_bound(expected, magnitude, n_terms, "float32")  # Both sides err.
    assert (abs(evaluate(text, x=x, y=y) - expected) <= bound).all()
