"""slice_update, slices whose bounds the program computes, and boxes cut from images."""

from __future__ import annotations

import numpy as np
import pytest

import mil_text
import pyane


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def flags(*values: bool) -> np.ndarray:
    return np.array(values)


CASES = [
    ({"begin": ints(0, 1, 2), "end": ints(2, 3, 5)}, np.s_[0:2, 1:3, 2:5]),
    (
        {"begin": ints(0, -2, 1), "end": ints(2, 3, -1), "stride": ints(1, 1, 2)},
        np.s_[0:2, -2:3, 1:-1:2],
    ),
    (
        {"begin": ints(0, 2, 6), "end": ints(2, 0, 0), "stride": ints(1, -1, -2)},
        np.s_[0:2, 2:0:-1, 6:0:-2],
    ),
    (
        {
            "begin": ints(9, 1, 9), "end": ints(9, 9, 9), "begin_mask": flags(True, False, True),
            "end_mask": flags(True, True, True),
        },
        np.s_[:, 1:, :],
    ),
    (
        {"begin": ints(1, 0, -1), "end": ints(0, 3, 0), "squeeze_mask": flags(True, False, True)},
        np.s_[1, :, -1],
    ),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32, np.int8, np.bool_])
@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("at_run_time", [False, True])
def test_slice_update(evaluate, rng, case, at_run_time, dtype):
    given, index = CASES[case]
    given = dict(given)
    x = rng.integers(0, 2 if dtype == np.bool_ else 100, (2, 3, 7)).astype(dtype)
    update = rng.integers(0, 2 if dtype == np.bool_ else 100, x[index].shape).astype(dtype)
    expected = x.copy()
    expected[index] = update
    arrays = {"x": x, "update": update}
    if at_run_time:
        arrays |= {name: given.pop(name) for name in ("begin", "end")}
    result = evaluate("slice_update", arrays, x.shape, dtype, **given)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("case", range(len(CASES)))
def test_slice_by_index_at_run_time(evaluate, rng, case):
    given, index = CASES[case]
    given = dict(given)
    x = rng.normal(size=(2, 3, 7)).astype(np.float16)
    arrays = {"x": x} | {name: given.pop(name) for name in ("begin", "end")}
    result = evaluate("slice_by_index", arrays, x[index].shape, x.dtype, **given)
    np.testing.assert_array_equal(result, x[index])


def test_a_cache_is_written_where_the_program_says(emulator, rng):
    cache, row = rng.normal(size=(1, 2, 8, 4)).astype(np.float16), np.ones((1, 2, 1, 4), np.float16)
    begin = np.array([0, 0, 0, 0], np.int32)
    masks = {
        "begin_mask": flags(True, True, False, True),
        "end_mask": flags(True, True, False, True),
    }
    arrays = {"x": cache, "update": row, "begin": begin, "end": begin}
    kernel = emulator.compile(
        mil_text.single("slice_update", arrays, cache.dtype, cache.shape, **masks)
    )
    for position in range(8):
        expected = cache.copy()
        expected[:, :, position] = 1
        begin[2] = position
        result = kernel(x=cache, update=row, begin=begin, end=begin + 1)
        np.testing.assert_array_equal(result, expected)
    begin[2] = 8
    message = r"begin and end must take 1 elements of dimension 2 .*got 0 from 8 to 9"
    with pytest.raises(pyane.EvaluateError, match=message):
        kernel(x=cache, update=row, begin=begin, end=begin + 1)


def test_a_squeezed_index_outside_is_an_error(emulator):
    x = np.arange(5, dtype=np.float16)
    arrays = {"x": x, "begin": ints(0), "end": ints(0)}
    kernel = emulator.compile(
        mil_text.single("slice_by_index", arrays, x.dtype, (), squeeze_mask=flags(True))
    )
    for i in range(-5, 5):
        assert kernel(x=x, begin=ints(i), end=ints(0)) == x[i]
    for bad in (5, -6):
        message = rf"begin\[0\] must lie in \[-5, 5\), got {bad}"
        with pytest.raises(pyane.EvaluateError, match=message):
            kernel(x=x, begin=ints(bad), end=ints(0))


@pytest.mark.parametrize("at_run_time", [False, True])
def test_a_step_past_the_end_takes_one_element(evaluate, at_run_time):
    x = np.arange(12, dtype=np.float16).reshape(3, 4)
    bounds = {"begin": ints(1, 2), "end": ints(3, 4)}
    arrays = {"x": x} | (bounds if at_run_time else {})
    given = {"stride": ints(2**31 - 1, 1)} | ({} if at_run_time else bounds)
    result = evaluate("slice_by_index", arrays, (1, 2), x.dtype, **given)
    np.testing.assert_array_equal(result, [[6, 7]])


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 3, 5, 7), (2, 3, 2, 5, 7)], ids=str)
def test_crop(evaluate, rng, shape):
    x = rng.normal(size=shape).astype(np.float16)
    expected = x[..., 1 : shape[-2] - 2, 2 : shape[-1] - 1]
    result = evaluate(
        "crop", {"x": x}, expected.shape, x.dtype, crop_height=ints(1, 2), crop_width=ints(2, 1)
    )
    np.testing.assert_array_equal(result, expected)


def test_reshape_like(emulator, rng):
    x = rng.normal(size=(6, 30)).astype(np.float16)
    line = (
        "tensor<fp16, [2, 3, 5, 6]> y = reshape_like(x = x, ref_tensors = (a, b), "
        "begins = (int32(0), int32(1)), ends = (int32(2), int32(0)), "
        'end_masks = (bool(false), bool(true)))[name = string("y")];'
    )
    inputs = {"x": "tensor<fp16, [6, 30]>", "a": "tensor<fp16, [2, 3, 4]>"}
    inputs["b"] = "tensor<int32, [1, 5, 6]>"
    kernel = emulator.compile(mil_text.program(inputs, [line], ["y"]))
    result = kernel(x=x, a=np.zeros((2, 3, 4), np.float16), b=np.zeros((1, 5, 6), np.int32))
    np.testing.assert_array_equal(result, x.reshape(2, 3, 5, 6))
    bad = mil_text.program(inputs, [line.replace("int32(2)", "int32(1)")], ["y"])
    with pytest.raises(
        pyane.MilVerifyError, match=r"\[6, 30\] has 180 elements.*\[2, 5, 6\] has 60"
    ):
        emulator.compile(bad)


def space_to_batch(x, block, pads):
    """TensorFlow's definition of SpaceToBatchND."""
    n, c, h, w = x.shape
    x = np.pad(x, [(0, 0), (0, 0), *pads])
    h, w = x.shape[2] // block[0], x.shape[3] // block[1]
    y = x.reshape(n, c, h, block[0], w, block[1]).transpose(3, 5, 0, 1, 2, 4)
    return y.reshape(n * block[0] * block[1], c, h, w)


def batch_to_space(x, block, crops):
    n, c, h, w = x.shape
    y = x.reshape(*block, n // (block[0] * block[1]), c, h, w).transpose(2, 3, 4, 0, 5, 1)
    y = y.reshape(-1, c, h * block[0], w * block[1])
    (top, bottom), (left, right) = crops
    return y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(
    ("block", "amounts"),
    [
        ((2, 3), ((0, 0), (0, 0))),
        ((2, 3), ((1, 3), (3, 3))),
        ((1, 1), ((0, 2), (1, 0))),
        ((4, 2), ((3, 1), (5, 1))),
    ],
)
def test_space_and_batch(evaluate, rng, block, amounts, dtype):
    x = rng.normal(size=(2, 3, 4, 6)).astype(dtype)
    expected = space_to_batch(x, block, amounts)
    result = evaluate(
        "space_to_batch", {"x": x}, expected.shape, dtype, block_shape=ints(*block),
        paddings=np.array(amounts, np.int32),
    )  # fmt: skip
    np.testing.assert_array_equal(result, expected)
    batch = rng.normal(size=(2 * block[0] * block[1], 3, 5, 7)).astype(dtype)
    expected = batch_to_space(batch, block, amounts)
    result = evaluate(
        "batch_to_space", {"x": batch}, expected.shape, dtype, block_shape=ints(*block),
        crops=np.array(amounts, np.int32),
    )  # fmt: skip
    np.testing.assert_array_equal(result, expected)
