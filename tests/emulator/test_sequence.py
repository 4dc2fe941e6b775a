from __future__ import annotations

import numpy as np
import pytest

import mil_text
import pyane
from tolerance import assert_within, sum_bound


def cumulative(x, axis, exclusive, reverse):
    wide = np.flip(x, axis) if reverse else x
    sums = np.cumsum(wide, axis)
    if exclusive:
        sums = sums - wide
    return np.flip(sums, axis) if reverse else sums


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((1,), 0), ((129,), 0), ((3, 5), 0), ((2, 33, 7), 1), ((4, 2, 50), -1)],
    ids=str,
)
def test_cumsum(evaluate, rng, shape, axis, reverse, exclusive, dtype):
    x = rng.normal(size=shape).astype(dtype)
    wide = x.astype(np.float64)
    value = cumulative(wide, axis, exclusive, reverse)
    magnitude = cumulative(np.abs(wide), axis, exclusive, reverse)
    result = evaluate(
        "cumsum", {"x": x}, shape, dtype, axis=axis, exclusive=exclusive, reverse=reverse
    )
    assert_within(result, value, sum_bound(value, magnitude, shape[axis], dtype))


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_cumsum_of_integers_wraps(evaluate, rng, reverse, exclusive):
    x = rng.integers(-(2**31), 2**31, (5, 9)).astype(np.int32)
    value = cumulative(x.astype(np.int64), 1, exclusive, reverse)
    result = evaluate(
        "cumsum", {"x": x}, x.shape, np.int32, axis=1, exclusive=exclusive, reverse=reverse
    )
    np.testing.assert_array_equal(result, value.astype(np.int32))


def test_cumsum_in_fp16_is_accumulated_in_fp32(evaluate):
    x = np.ones(4000, np.float16)
    result = evaluate("cumsum", {"x": x}, x.shape, x.dtype)
    np.testing.assert_array_equal(result, np.arange(1, 4001).astype(np.float16))


def test_cumsum_against_torch(evaluate, rng):
    torch = pytest.importorskip("torch")
    x = rng.integers(-8, 8, (3, 70, 5)).astype(np.float32)  # Exact sums.
    result = evaluate("cumsum", {"x": x}, x.shape, x.dtype, axis=1)
    np.testing.assert_array_equal(result, torch.cumsum(torch.from_numpy(x), 1).numpy())


def reversed_sequence(x, lengths, seq_axis, batch_axis):
    result = x.copy()
    for b, n in enumerate(lengths):
        entry = np.moveaxis(result, batch_axis, 0)[b]  # A view.
        axis = seq_axis - (seq_axis > batch_axis)
        line = np.moveaxis(entry, axis, 0)
        line[:n] = line[:n][::-1].copy()
    return result


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32, np.bool_])
@pytest.mark.parametrize("length_dtype", [np.int32, np.int16])
@pytest.mark.parametrize(
    ("shape", "seq_axis", "batch_axis"),
    [((4, 7), 1, 0), ((7, 4), 0, 1), ((2, 3, 5, 6), 3, 1), ((5, 2, 3), 0, -1)],
)
def test_reverse_sequence(evaluate, rng, shape, seq_axis, batch_axis, length_dtype, dtype):
    x = rng.integers(0, 2 if dtype == np.bool_ else 100, shape).astype(dtype)
    lengths = rng.integers(0, shape[seq_axis] + 1, shape[batch_axis]).astype(length_dtype)
    lengths[0] = shape[seq_axis]
    result = evaluate(
        "reverse_sequence", {"x": x, "lengths": lengths}, shape, dtype, seq_axis=seq_axis,
        batch_axis=batch_axis,
    )  # fmt: skip
    expected = reversed_sequence(x, lengths, seq_axis, batch_axis % len(shape))
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("bad", [-1, 8])
def test_a_length_outside_is_an_error(emulator, bad):
    arrays = {"x": np.zeros((2, 7), np.float16), "lengths": np.array([0, bad], np.int32)}
    text = mil_text.single("reverse_sequence", arrays, np.float16, (2, 7), seq_axis=1, batch_axis=0)
    with pytest.raises(pyane.EvaluateError, match=rf"must lie in \[0, 7\], got {bad} at element 1"):
        emulator.compile(text)(**arrays)
