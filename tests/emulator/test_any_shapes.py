"""Shapes and attributes that nobody thought of, against NumPy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import backend
import mil_text
from reference_vision import SAMPLING_MODES, pool, pool_bound, resize_bound, resized
from tolerance import assert_within

DEVICE = backend.device()
FEW = settings(max_examples=60, deadline=None)


def evaluate(op, arrays, shape, dtype, /, **attributes):
    text = mil_text.single(op, arrays, dtype, shape, **attributes)
    return DEVICE.compile(text)(**arrays)


def normal(seed: int, shape) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float16)


@st.composite
def windows(draw):
    n = draw(st.integers(1, 3))
    spatial = tuple(draw(st.integers(1, 13)) for _ in range(n))
    kernel, strides, pads = [], [], []
    for size in spatial:
        pad = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
        kernel.append(draw(st.integers(1, size + sum(pad))))
        strides.append(draw(st.integers(1, 5)))
        pads.append(pad)
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *spatial)
    return shape, tuple(kernel), tuple(strides), pads


@FEW
@given(
    windows(), st.sampled_from(["avg_pool", "l2_pool", "max_pool"]), st.booleans(),
    st.integers(0, 99),
)  # fmt: skip
def test_pool(case, op, excludes, seed):
    shape, kernel, strides, pads = case
    if len(kernel) == 3 and op == "l2_pool":
        op = "max_pool"
    x = normal(seed, shape)
    given_ = {"exclude_padding_from_average": excludes} if op == "avg_pool" else {}
    value, magnitude = pool(op, x.astype(np.float64), kernel, strides, pads, exclude=excludes)
    result = evaluate(
        op, {"x": x}, value.shape, x.dtype, kernel_sizes=np.array(kernel, np.int32),
        strides=np.array(strides, np.int32), pad_type="custom",
        pad=np.array(pads, np.int32).ravel(), **given_,
    )  # fmt: skip
    assert_within(result, value, pool_bound(op, value, magnitude, int(np.prod(kernel)), x.dtype))


@FEW
@given(
    hnp.array_shapes(min_dims=1, max_dims=4, max_side=9), st.data(), st.sampled_from(SAMPLING_MODES),
    st.integers(0, 99),
)  # fmt: skip
def test_resize(shape, data, mode, seed):
    n = data.draw(st.integers(1, len(shape)))
    sizes = tuple(data.draw(st.integers(1, 17)) for _ in range(n))
    x = normal(seed, shape)
    value = resized(x.astype(np.float64), sizes, mode)
    result = evaluate(
        "resize", {"x": x}, value.shape, x.dtype, shape=np.array(sizes, np.int32),
        resized_dims=np.int32(n), sampling_mode=mode,
    )  # fmt: skip
    assert_within(result, value, resize_bound(x, value, x.dtype))


@st.composite
def slices(draw):
    """A shape, and bounds, strides and masks that take something of it."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=8))
    begins, ends, strides, masks, index = [], [], [], [], []
    for n in shape:
        stride = draw(st.sampled_from([1, 2, 3, -1, -2]))
        first = draw(st.integers(0, n - 1))
        last = draw(st.integers(first + 1, n) if stride > 0 else st.integers(-1, first - 1))
        squeezes, open_begin, open_end = draw(
            st.tuples(st.booleans(), st.booleans(), st.booleans())
        )
        begins.append(first - n if draw(st.booleans()) else first)
        ends.append(last)
        if last == -1:  # Only the mask can say this.
            open_end = True
        strides.append(stride)
        masks.append((open_begin, open_end, squeezes))
        if squeezes:
            index.append(0 if open_begin else first)
        else:
            index.append(slice(None if open_begin else first, None if open_end else last, stride))
    columns = [np.array(column) for column in zip(*masks, strict=True)]
    given_ = {
        "stride": np.array(strides, np.int32), "begin_mask": columns[0], "end_mask": columns[1],
        "squeeze_mask": columns[2],
    }  # fmt: skip
    bounds = {"begin": np.array(begins, np.int32), "end": np.array(ends, np.int32)}
    return shape, bounds, given_, tuple(index)


@FEW
@given(slices(), st.booleans(), st.integers(0, 99))
def test_slices(case, at_run_time, seed):
    shape, bounds, attributes, index = case
    x = normal(seed, shape)
    update = normal(seed + 1, x[index].shape)
    expected = x.copy()
    expected[index] = update
    operands = bounds if at_run_time else {}
    constants = attributes if at_run_time else attributes | bounds
    taken = evaluate("slice_by_index", {"x": x} | operands, x[index].shape, x.dtype, **constants)
    np.testing.assert_array_equal(taken, x[index])
    arrays = {"x": x, "update": update} | operands
    result = evaluate("slice_update", arrays, shape, x.dtype, **constants)
    np.testing.assert_array_equal(result, expected)


@FEW
@given(
    hnp.array_shapes(min_dims=1, max_dims=4, max_side=7), st.data(), st.booleans(), st.booleans(),
    st.integers(0, 99),
)  # fmt: skip
def test_sorting_and_sums(shape, data, flag, other, seed):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float16)
    order = np.argsort(x if flag else -x, axis, kind="stable")
    result = evaluate("argsort", {"x": x}, shape, np.int32, axis=axis, ascending=flag)
    np.testing.assert_array_equal(result, order)
    wide = np.flip(x, axis) if other else x
    sums = np.cumsum(wide, axis) - (wide if flag else 0)  # Small integers: exact.
    result = evaluate("cumsum", {"x": x}, shape, x.dtype, axis=axis, exclusive=flag, reverse=other)
    np.testing.assert_array_equal(result, np.flip(sums, axis) if other else sums)


@FEW
@given(hnp.array_shapes(min_dims=1, max_dims=4, max_side=6), st.data(), st.integers(0, 99))
def test_scatter_nd(shape, data, seed):
    depth = data.draw(st.integers(1, len(shape)))
    batch = data.draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=5))
    rng = np.random.default_rng(seed)
    x = rng.integers(-9, 9, shape).astype(np.int32)
    indices = np.stack([rng.integers(-n, n, batch) for n in shape[:depth]], -1).astype(np.int32)
    updates = rng.integers(-9, 9, (*batch, *shape[depth:])).astype(np.int32)
    expected = x.copy()
    np.add.at(expected, tuple(np.moveaxis(indices, -1, 0)), updates)
    arrays = {"data": x, "indices": indices, "updates": updates}
    np.testing.assert_array_equal(
        evaluate("scatter_nd", arrays, shape, x.dtype, mode="add"), expected
    )
