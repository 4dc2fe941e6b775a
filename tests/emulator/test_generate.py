"""Operations that make elements of positions."""

from __future__ import annotations

import numpy as np
import pytest

import mil_text
import pyane
from tolerance import assert_within, rounding_bound


@pytest.mark.parametrize(
    ("start", "end", "step"),
    [(0, 7, 1), (5, -4, -2), (1, 2, 1), (-3, 40, 7)],
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32])
@pytest.mark.parametrize("at_run_time", [False, True])
def test_range(emulator, start, end, step, dtype, at_run_time):
    expected = np.arange(start, end, step)
    given = {"start": dtype(start), "end": dtype(end), "step": dtype(step)}
    arrays = {name: np.asarray(value) for name, value in given.items()}
    if at_run_time:
        text = mil_text.single("range_1d", arrays, dtype, expected.shape)
        result = emulator.compile(text)(**arrays)
    else:
        line = mil_text.operation(
            "range_1d", "y", mil_text.tensor_type(dtype, expected.shape), given
        )
        # An operand of the function, as programs without any are not of use.
        total = mil_text.operation(
            "add", "z", mil_text.tensor_type(dtype, expected.shape), {"x": "%x", "y": "%y"}
        )
        inputs = {"x": mil_text.tensor_type(dtype, (1,))}
        result = emulator.compile(mil_text.program(inputs, [line, total], ["z"]))(
            np.zeros(1, dtype)
        )
    np.testing.assert_array_equal(result, expected.astype(dtype))


def test_range_of_fractions_rounds_once(evaluate):
    start, end, step = (np.asarray(v, np.float32) for v in (0.0, 3.0, 0.1))
    value = start.astype(np.float64) + np.arange(30) * step.astype(np.float64)
    result = evaluate("range_1d", {"start": start, "end": end, "step": step}, (30,), np.float32)
    assert_within(result, value, rounding_bound(value, np.float32))


def test_a_range_of_another_length_is_an_error(emulator):
    arrays = {name: np.asarray(v, np.int32) for name, v in [("start", 0), ("end", 4), ("step", 1)]}
    kernel = emulator.compile(mil_text.single("range_1d", arrays, np.int32, (4,)))
    np.testing.assert_array_equal(kernel(**arrays), range(4))
    for end, step, count in [(5, 1, 5), (-1, 1, 0), (4, 0, -1)]:
        with pytest.raises(pyane.EvaluateError, match=f"must give 4 values.*got {count}"):
            kernel(start=arrays["start"], end=np.asarray(end), step=np.asarray(step))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("on", [np.float16(1.5), np.float32(2), np.int32(-3), np.bool_(True)])
def test_one_hot(evaluate, rng, axis, on):
    indices = rng.integers(0, 5, (3, 4)).astype(np.int32)
    off = on.dtype.type(0)
    hot = np.where(indices[..., None] == np.arange(5), on, off).astype(on.dtype)
    expected = np.moveaxis(hot, -1, axis)
    result = evaluate(
        "one_hot", {"indices": indices}, expected.shape, on.dtype, one_hot_vector_size=5, axis=axis,
        on_value=on, off_value=off,
    )  # fmt: skip
    np.testing.assert_array_equal(result, expected)


def test_one_hot_of_an_index_outside_is_off(evaluate):
    indices = np.array([-1, 0, 2, 3, 2**31 - 1], np.int32)
    result = evaluate("one_hot", {"indices": indices}, (5, 3), np.int32, one_hot_vector_size=3)
    np.testing.assert_array_equal(result, [[0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32, np.bool_])
@pytest.mark.parametrize(("lower", "upper"), [(-1, 0), (0, -1), (0, 0), (2, 1), (-1, -1), (9, 0)])
@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 7), (5, 2)], ids=str)
def test_band_part(evaluate, rng, shape, lower, upper, dtype):
    x = rng.integers(1, 2 if dtype == np.bool_ else 50, shape).astype(dtype)
    m, n = np.indices(shape[-2:])
    band = ((lower < 0) | (m - n <= lower)) & ((upper < 0) | (n - m <= upper))
    result = evaluate("band_part", {"x": x}, shape, dtype, lower=lower, upper=upper)
    np.testing.assert_array_equal(result, np.where(band, x, dtype(0)))


def test_band_part_keeps_no_nan_outside(evaluate):
    x = np.full((2, 2), np.nan, np.float16)
    result = evaluate("band_part", {"x": x}, (2, 2), x.dtype, lower=0, upper=0)
    np.testing.assert_array_equal(result, [[np.nan, 0], [0, np.nan]])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32, np.bool_])
def test_non_zero_of_a_declared_number(emulator, rng, dtype):
    x = (rng.random((3, 4, 5)) < 0.3).astype(dtype)
    expected = np.argwhere(x)
    kernel = emulator.compile(mil_text.single("non_zero", {"x": x}, np.int32, expected.shape))
    np.testing.assert_array_equal(kernel(x), expected)
    x.ravel()[np.flatnonzero(x == 0)[0]] = 1
    n = len(expected)
    with pytest.raises(pyane.EvaluateError, match=rf"must have {n} elements.*got {n + 1}"):
        kernel(x)


@pytest.mark.emulator
def test_non_zero_of_an_open_number_is_refused(emulator):
    line = 'tensor<int32, [?, 1]> y = non_zero(x = x)[name = string("found")];'
    text = mil_text.program({"x": "tensor<fp16, [4]>"}, [line], ["y"])
    message = r"<text>:5:9: non_zero 'found': .* of its result 'y' .*, got tensor<int32, \[\?, 1\]>"
    with pytest.raises(pyane.UnsupportedOpError, match=message) as caught:
        emulator.compile(text)
    assert (caught.value.op, caught.value.line) == ("non_zero", 5)


def test_shape(emulator):
    lines = [
        'tensor<int32, [3]> s = shape(x = x)[name = string("s")];',
        'tensor<int32, [3]> y = add(x = s, y = b)[name = string("y")];',
    ]
    inputs = {"x": "tensor<fp16, [2, 5, 1]>", "b": "tensor<int32, [1]>"}
    result = emulator.compile(mil_text.program(inputs, lines, ["y"]))(
        x=np.zeros((2, 5, 1), np.float16), b=np.array([10], np.int32)
    )
    np.testing.assert_array_equal(result, [12, 15, 11])
