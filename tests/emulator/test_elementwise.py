from __future__ import annotations

import numpy as np
import pytest

import reference_ops
from tolerance import assert_within, rounding_bound

SHAPES = [(1,), (7,), (1, 5, 1, 33), (2, 3, 17), (1031,), (3, 1, 1025)]

# Beside the rounding of the result, in units of fp32 (cpp/pyane/emulator/kernels/tile.h). Half a
# unit where nothing is said: the value is rounded to fp32 first.
ULPS = {
    "elu": 2,
    "erf": 1,
    "exp": 1,
    "exp2": 1,
    "gelu": 1,
    "inverse": 1.5,
    "leaky_relu": 0.5,
    "log": 1,
    "rsqrt": 2,
    "scaled_tanh": 3,
    "sigmoid": 2,
    "silu": 3,
    "softplus": 3,
    "softsign": 1.5,
    "square": 0.5,
    "tanh": 2,
}
SLOPE = np.float32(0.375)
ATTRIBUTES = {
    "clamped_relu": {"alpha": SLOPE, "beta": np.float32(1.5)},
    "clip": {"alpha": np.float32(-0.75), "beta": np.float32(1.25)},
    "elu": {"alpha": SLOPE},
    "leaky_relu": {"alpha": SLOPE},
    "linear_activation": {"alpha": SLOPE, "beta": np.float32(-0.5)},
    "scaled_tanh": {"alpha": SLOPE, "beta": np.float32(1.5)},
    "sigmoid_hard": {"alpha": np.float32(0.25), "beta": np.float32(0.5)},
    "threshold": {"alpha": np.float32(-0.25)},
    "thresholded_relu": {"alpha": SLOPE},
}
DOMAIN = {"acos": (-1, 1), "asin": (-1, 1), "atanh": (-1, 1), "log": (0, 9), "sqrt": (0, 9)}
DOMAIN |= {"rsqrt": (0, 9), "inverse": (0.01, 9)}

# fp32 sums before the last step, relative to a result that may cancel: x + epsilon, a x + b.
CANCELS = {"linear_activation", "sigmoid_hard"}


def given(op: str, dtype: object) -> dict[str, np.ndarray]:
    return {name: value.astype(dtype) for name, value in ATTRIBUTES.get(op, {}).items()}


def exact(op: str, x: np.ndarray, **attributes: object) -> np.ndarray:
    wide = {
        name: value if isinstance(value, str) else float(value)
        for name, value in attributes.items()
    }
    with np.errstate(all="ignore"):
        return np.asarray(reference_ops.UNARY[op](x.astype(np.float64), **wide))


def bound(op: str, value: np.ndarray, dtype: object) -> np.ndarray:
    slack = 2.0**-23 if op in CANCELS else 0.0
    return rounding_bound(value, dtype, ULPS.get(op, 0.5)) + slack


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("op", sorted(reference_ops.UNARY))
def test_unary(evaluate, rng, op, shape, dtype):
    low, high = DOMAIN.get(op, (-6, 6))
    x = rng.uniform(low, high, shape).astype(dtype)
    y = evaluate(op, {"x": x}, shape, dtype, **given(op, dtype))
    value = exact(op, x, **given(op, dtype))
    assert_within(y, value, bound(op, value, dtype))


@pytest.mark.parametrize("op", sorted(set(reference_ops.UNARY) - {"erf", "gelu"}))
def test_every_fp16_value(evaluate, op):
    x = np.arange(0x10000, dtype=np.uint16).view(np.float16)
    x[np.isnan(x)] = np.nan  # NumPy warns of signalling ones.
    y = evaluate(op, {"x": x}, x.shape, np.float16, **given(op, np.float16))
    value = exact(op, x, **given(op, np.float16))
    limit = bound(op, value, np.float16)
    if op == "inverse":  # x + epsilon may cancel: its fp32 rounding, relative to x.
        with np.errstate(all="ignore"):
            limit += np.nan_to_num(value * value * np.abs(x.astype(np.float64))) * 2.0**-23
    assert_within(y, value, limit)


@pytest.mark.parametrize("op", sorted(reference_ops.UNARY))
def test_special_values(evaluate, op):
    x = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-40, -1e-40, 3e38, -3e38], np.float32)
    y = evaluate(op, {"x": x}, x.shape, np.float32, **given(op, np.float32))
    value = exact(op, x, **given(op, np.float32))
    # fp32 cannot tell these from zero, or reduces them modulo pi in fp64 only.
    assert_within(y, value, bound(op, value, np.float32) + 1e-38)


def test_signs_of_zero(evaluate):
    x = np.array([0.0, -0.0], np.float16)
    for op in ("relu", "tanh", "sin", "sqrt", "round", "sign", "silu"):
        y = evaluate(op, {"x": x}, x.shape, x.dtype)
        np.testing.assert_array_equal(np.signbit(y), [False, True], err_msg=op)


@pytest.mark.parametrize("mode", ["EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_gelu_modes(evaluate, rng, mode, dtype):
    x = np.concatenate([rng.uniform(-9, 9, 997), [np.inf, -np.inf, np.nan, 0]]).astype(dtype)
    y = evaluate("gelu", {"x": x}, x.shape, dtype, mode=mode)
    value = exact("gelu", x, mode=mode)
    assert_within(y, value, rounding_bound(value, dtype, 3))


@pytest.mark.parametrize("epsilon", [0.5, 1e-3])
@pytest.mark.parametrize("op", ["log", "rsqrt", "inverse"])
def test_epsilon(evaluate, rng, op, epsilon):
    x = rng.uniform(0, 2, 101).astype(np.float16)
    y = evaluate(op, {"x": x}, x.shape, x.dtype, epsilon=np.float32(epsilon))
    value = exact(op, x, epsilon=np.float32(epsilon))
    # log of a sum near one: the sum's fp32 rounding is relative to one.
    assert_within(y, value, rounding_bound(value, x.dtype, 2) + 2.0**-23)


BROADCASTS = [
    ((1,), (1,)),
    ((7,), (1,)),
    ((), (5,)),
    ((1, 5, 1, 33), (1, 5, 1, 33)),
    ((1, 64, 1, 17), (1, 1, 1, 17)),
    ((1, 64, 1, 17), (1, 64, 1, 1)),
    ((3, 1, 5), (4, 1)),
    ((2, 1, 3, 1, 2), (1, 4, 1, 3, 1)),
    ((1031,), (3, 1)),
    ((1, 1100), (5, 1)),
]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("shapes", BROADCASTS, ids=str)
@pytest.mark.parametrize("op", sorted(reference_ops.BINARY))
def test_binary(evaluate, rng, op, shapes, dtype):
    x = rng.normal(size=shapes[0]).astype(dtype) * dtype(3)
    y = rng.normal(size=shapes[1]).astype(dtype) * dtype(3)
    if op == "pow":
        x = np.abs(x)
    x, y = np.asarray(x, dtype), np.asarray(y, dtype)
    result = evaluate(op, {"x": x, "y": y}, np.broadcast_shapes(*shapes), dtype)
    with np.errstate(all="ignore"):
        value = np.asarray(
            reference_ops.BINARY[op](x.astype(np.float64), y.astype(np.float64)), np.float64
        )
    # fp32: the operation's own rounding is the result's. fp16: it comes first, half a unit.
    assert_within(result, value, rounding_bound(value, dtype, 0.5 if dtype == np.float16 else 0.1))


def special_pairs(dtype: type) -> tuple[np.ndarray, np.ndarray]:
    values = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 3.0, -3.0, np.inf, -np.inf, np.nan, 1e-7, 6e4]
    x, y = np.meshgrid(np.array(values, dtype), np.array(values, dtype))
    return x.ravel(), y.ravel()


@pytest.mark.parametrize("op", sorted(reference_ops.BINARY))
def test_binary_special_values(evaluate, op):
    x, y = special_pairs(np.float16)
    result = evaluate(op, {"x": x, "y": y}, x.shape, np.float16)
    with np.errstate(all="ignore"):
        value = reference_ops.BINARY[op](x.astype(np.float64), y.astype(np.float64))
    assert_within(result, value, rounding_bound(value, np.float16, 1))


@pytest.mark.parametrize("op", sorted(reference_ops.COMPARISON))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32])
def test_comparison(evaluate, rng, op, dtype):
    if dtype == np.int32:
        x, y = rng.integers(-3, 3, (2, 500)).astype(dtype)
    else:
        x, y = special_pairs(dtype)
    result = evaluate(op, {"x": x, "y": y}, x.shape, np.bool_)
    np.testing.assert_array_equal(result, reference_ops.COMPARISON[op](x, y))


@pytest.mark.parametrize("op", sorted(reference_ops.LOGICAL))
def test_logical(evaluate, op):
    x, y = np.array([False, False, True, True]), np.array([False, True, False, True])
    result = evaluate(op, {"x": x, "y": y}, (4,), np.bool_)
    np.testing.assert_array_equal(result, reference_ops.LOGICAL[op](x, y))


def test_logical_not(evaluate):
    x = np.array([False, True, True])
    np.testing.assert_array_equal(evaluate("logical_not", {"x": x}, (3,), np.bool_), ~x)


EXTREMES = [0, 1, -1, 2, -2, 7, -7, 2**31 - 1, -(2**31), 46341, -46341]


@pytest.mark.parametrize("op", sorted(reference_ops.BINARY_INTEGER))
def test_integers(evaluate, op):
    x, y = (
        a.ravel() for a in np.meshgrid(np.array(EXTREMES, np.int32), np.array(EXTREMES, np.int32))
    )
    result = evaluate(op, {"x": x, "y": y}, x.shape, np.int32)
    wide = np.asarray(reference_ops.BINARY_INTEGER[op](x.astype(np.int64), y.astype(np.int64)))
    np.testing.assert_array_equal(result, wide.astype(np.int32))  # Modulo 2^32.


def test_integer_pow(evaluate):
    x, y = (
        np.array([2, 3, -2, 0, 1, -1, -1, 2, 5], np.int32),
        np.array([10, 4, 3, 0, -5, -3, -4, -1, 1], np.int32),
    )
    result = evaluate("pow", {"x": x, "y": y}, x.shape, np.int32)
    np.testing.assert_array_equal(result, [1024, 81, -8, 1, 1, -1, 1, 0, 5])


@pytest.mark.parametrize("op", ["abs", "sign", "square", "exp2"])
def test_integer_unary(evaluate, op):
    x = np.array([0, 1, -1, 5, -7, 30, 46341, -(2**31)], np.int32)
    result = evaluate(op, {"x": x}, x.shape, np.int32)
    wide = x.astype(np.int64)
    expected = {
        "abs": np.abs(wide),
        "sign": np.sign(wide),
        "square": wide * wide,
        "exp2": np.where((wide >= 0) & (wide < 32), 1 << np.clip(wide, 0, 40), 0),
    }[op]
    np.testing.assert_array_equal(result, expected.astype(np.int32))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32, np.bool_])
def test_select(evaluate, rng, dtype):
    cond = rng.random((3, 1, 7)) < 0.5
    a = (rng.normal(size=(3, 5, 7)) * 3).astype(dtype)
    b = (rng.normal(size=(1, 5, 1)) * 3).astype(dtype)
    result = evaluate("select", {"cond": cond, "a": a, "b": b}, (3, 5, 7), dtype)
    np.testing.assert_array_equal(result, np.where(cond, a, b))


def test_select_takes_no_nan_from_the_other_side(evaluate):
    cond = np.array([True, False])
    a, b = np.array([1, np.nan], np.float16), np.array([np.inf, 2], np.float16)
    result = evaluate("select", {"cond": cond, "a": a, "b": b}, (2,), np.float16)
    np.testing.assert_array_equal(result, [1, 2])


CAST_FROM = {
    "float16": [
        0.0,
        -0.0,
        0.5,
        1.5,
        -1.5,
        2.5,
        127.9,
        -128.9,
        300.0,
        -300.0,
        65504.0,
        np.inf,
        np.nan,
    ],
    "float32": [0.0, 1e-8, 2049.0, 2051.0, 65519.9, 65520.0, -1e9, 3e9, 1.9, -1.9, np.nan],
    "int32": [0, 1, -1, 127, 128, 255, 256, -129, 65535, 65536, 2**31 - 1, -(2**31)],
    "bool": [False, True],
    "int8": [0, 1, -1, 127, -128],
    "uint8": [0, 1, 255],
    "int16": [0, 1, -1, 32767, -32768],
    "uint16": [0, 1, 65535],
}
MIL_NAMES = {"float16": "fp16", "float32": "fp32"}


@pytest.mark.parametrize("target", sorted(CAST_FROM))
@pytest.mark.parametrize("source", sorted(CAST_FROM))
def test_cast(evaluate, source, target):
    x = np.array(CAST_FROM[source], source)
    result = evaluate("cast", {"x": x}, x.shape, target, dtype=MIL_NAMES.get(target, target))
    if x.dtype.kind == "f" and np.dtype(target).kind in "iu":  # Towards zero, saturating.
        info = np.iinfo(target)
        wide = np.nan_to_num(
            np.trunc(x.astype(np.float64)), nan=0, posinf=2.0**40, neginf=-(2.0**40)
        )
        expected = np.clip(wide, info.min, info.max).astype(target)
    else:
        with np.errstate(over="ignore"):
            expected = x.astype(target)
    np.testing.assert_array_equal(result, expected)


def test_parameters_per_channel(evaluate, rng):
    x = rng.normal(size=(2, 5, 3, 7)).astype(np.float16)
    alpha = rng.uniform(0.1, 0.9, 5).astype(np.float16)
    beta = rng.uniform(0.5, 2, 5).astype(np.float16)
    wide, a, b = x.astype(np.float64), alpha.astype(np.float64), beta.astype(np.float64)
    result = evaluate("prelu", {"x": x}, x.shape, np.float16, alpha=alpha)
    value = np.where(wide < 0, a[:, None, None] * wide, wide)
    assert_within(result, value, rounding_bound(value, np.float16, 0.5))
    result = evaluate("softplus_parametric", {"x": x}, x.shape, np.float16, alpha=alpha, beta=beta)
    value = a[:, None, None] * np.logaddexp(0, b[:, None, None] * wide)
    assert_within(result, value, rounding_bound(value, np.float16, 8))
