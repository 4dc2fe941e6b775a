from __future__ import annotations

import numpy as np
import pytest

import reference_ops
from tolerance import assert_within, rounding_bound

# (shape, axes or None for all): reduced innermost, outermost, in the middle, several, all.
CASES = [
    ((1,), (0,)),
    ((7,), None),
    ((2050,), (-1,)),
    ((3, 5), (1,)),
    ((3, 5), (0,)),
    ((1, 67, 1, 33), (1,)),
    ((1, 64, 1, 200), (1,)),
    ((2, 5, 7, 11), (1, 3)),
    ((2, 5, 7, 11), (-2, 0)),
    ((2, 3, 5, 17), (1, 2)),
    ((4, 1, 1025), (2,)),
    ((3, 131, 129), (1,)),
]
FLOAT_SUMS = {
    "reduce_l1_norm",
    "reduce_l2_norm",
    "reduce_log_sum",
    "reduce_log_sum_exp",
    "reduce_mean",
    "reduce_sum",
    "reduce_sum_square",
}
U32 = 2.0**-24


def axis_of(shape: tuple[int, ...], axes: tuple[int, ...] | None) -> tuple[int, ...]:
    return tuple(range(len(shape))) if axes is None else tuple(a % len(shape) for a in axes)


def attributes(axes: tuple[int, ...] | None, keep_dims: bool) -> dict[str, object]:
    given = {} if axes is None else {"axes": np.array(axes, np.int32)}
    return given | {"keep_dims": keep_dims}


def bound(op, x, axis, keepdims, value, dtype):
    """Rounding of the result, n - 1 roundings of sums, and those of the function after the sum."""
    n = np.prod([x.shape[a] for a in axis])
    if op in {"reduce_max", "reduce_min"}:
        return rounding_bound(value, dtype)
    if op == "reduce_prod":
        return rounding_bound(value, dtype) + n * U32 * np.abs(value)
    terms = {
        "reduce_l2_norm": x * x,
        "reduce_sum_square": x * x,
        "reduce_log_sum_exp": np.exp(x - np.max(x, axis=axis, keepdims=True)),
    }.get(op, np.abs(x))
    total = np.sum(np.abs(terms), axis=axis, keepdims=keepdims)
    error = (n + 2) * U32 * total  # Of the sum; exp adds one unit to each term.
    if op == "reduce_mean":
        error = error / n
    elif op == "reduce_l2_norm":
        error = error / np.maximum(value, 1e-30)  # d sqrt(s) = ds / (2 sqrt(s))
    elif op in {"reduce_log_sum", "reduce_log_sum_exp"}:
        error = 2 * (n + 4) * U32 + 2 * U32 * np.abs(value)  # d log(s) = ds / s
        error = error + 2 * U32 * np.max(np.abs(x))
    return rounding_bound(value, dtype, 1) + error


@pytest.mark.parametrize("keep_dims", [True, False])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("shape", "axes"), CASES, ids=str)
@pytest.mark.parametrize("op", sorted(reference_ops.REDUCTION))
def test_reduction(evaluate, rng, op, shape, axes, dtype, keep_dims):
    x = rng.normal(size=shape)
    if op == "reduce_prod":
        x = np.exp(x / 8)
    if op == "reduce_log_sum":
        x = np.abs(x) + 0.1
    x = x.astype(dtype)
    axis = axis_of(shape, axes)
    wide = x.astype(np.float64)
    value = np.asarray(reference_ops.REDUCTION[op](wide, axis, keep_dims))
    result = evaluate(op, {"x": x}, value.shape, dtype, **attributes(axes, keep_dims))
    assert_within(result, value, bound(op, wide, axis, keep_dims, value, dtype))


@pytest.mark.parametrize(("shape", "axes"), CASES, ids=str)
@pytest.mark.parametrize(
    "op",
    [
        "reduce_l1_norm",
        "reduce_max",
        "reduce_min",
        "reduce_prod",
        "reduce_sum",
        "reduce_sum_square",
    ],
)
def test_integers_wrap_around(evaluate, rng, op, shape, axes):
    x = rng.integers(-(2**20), 2**20, shape).astype(np.int32)
    wide = np.asarray(reference_ops.REDUCTION[op](x.astype(np.int64), axis_of(shape, axes), False))
    result = evaluate(op, {"x": x}, wide.shape, np.int32, **attributes(axes, False))
    np.testing.assert_array_equal(result, wide.astype(np.int32))


def test_mean_of_integers_is_rounded_towards_zero(evaluate):
    x = np.array([[-3, -4], [3, 4], [2, 2]], np.int32)
    result = evaluate("reduce_mean", {"x": x}, (3,), np.int32, axes=np.array([1], np.int32))
    np.testing.assert_array_equal(result, [-3, 3, 2])


@pytest.mark.parametrize("op", ["reduce_l2_norm", "reduce_log_sum", "reduce_log_sum_exp"])
def test_roots_and_logarithms_of_integers_are_rounded_towards_zero(evaluate, rng, op):
    x = rng.integers(1, 1000, (4, 33)).astype(np.int32)
    value = reference_ops.REDUCTION[op](x.astype(np.float64), (1,), False)
    result = evaluate(op, {"x": x}, (4,), np.int32, axes=np.array([1], np.int32))
    np.testing.assert_array_equal(result, np.trunc(value))


def test_results_beyond_the_integers_saturate(evaluate):
    x = np.array([[-(2**31)] * 4, [0] * 4, [-1] * 4], np.int32)
    axes = np.array([1], np.int32)
    result = evaluate("reduce_l2_norm", {"x": x}, (3,), np.int32, axes=axes)
    np.testing.assert_array_equal(result, [2**31 - 1, 0, 2])
    result = evaluate("reduce_log_sum", {"x": x}, (3,), np.int32, axes=axes)
    np.testing.assert_array_equal(result, [0, -(2**31), 0])  # Of NaN, -inf, NaN.


def test_sum_is_accumulated_in_fp32(evaluate):
    x = np.ones(4096 + 1, np.float16)
    x[0] = 4096  # In fp16 a sum of 4096 and ones stalls.
    result = evaluate("reduce_sum", {"x": x}, (), np.float16)
    assert result == 8192


def test_infinities_and_nan(evaluate):
    x = np.array([[1, np.inf], [1, -np.inf], [np.inf, -np.inf], [np.nan, 1]], np.float16)
    axes = np.array([1], np.int32)
    nan, inf = np.nan, np.inf
    expected = {
        "reduce_sum": [inf, -inf, nan, nan],
        "reduce_max": [inf, 1, inf, nan],
        "reduce_min": [1, -inf, -inf, nan],
        "reduce_log_sum_exp": [inf, 1, inf, nan],
    }
    for op, values in expected.items():
        np.testing.assert_array_equal(evaluate(op, {"x": x}, (4,), x.dtype, axes=axes), values, op)
        columns = np.repeat(x.T[:, :, None], 16, axis=2)  # The same, worked on by columns.
        result = evaluate(op, {"x": columns}, (4, 16), x.dtype, axes=np.array([0], np.int32))
        np.testing.assert_array_equal(result, np.repeat(np.array(values)[:, None], 16, 1), op)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((7,), 0), ((3, 5), -1), ((3, 5), 0), ((2, 3001), 1), ((2, 33, 17), 1)],
    ids=str,
)
@pytest.mark.parametrize("op", ["reduce_argmax", "reduce_argmin"])
def test_arg_reduction(evaluate, rng, op, shape, axis, dtype):
    x = rng.integers(-9, 9, shape).astype(dtype)  # Ties: the first wins.
    find = np.argmax if op == "reduce_argmax" else np.argmin
    value = find(x, axis=axis)
    result = evaluate(op, {"x": x}, value.shape, np.int32, axis=axis)
    np.testing.assert_array_equal(result, value)
    kept = np.expand_dims(value, axis)
    result = evaluate(
        op, {"x": x}, kept.shape, np.uint16, axis=axis, keep_dims=True, output_dtype="uint16"
    )
    np.testing.assert_array_equal(result, kept)


def test_arg_reduction_finds_the_first_nan(evaluate):
    x = np.array([1, np.nan, 3, np.nan], np.float16)
    assert evaluate("reduce_argmax", {"x": x}, (), np.int32, axis=0) == 1
