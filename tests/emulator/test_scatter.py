from __future__ import annotations

import numpy as np
import pytest

import mil_text
import pyane
from tolerance import assert_within, rounding_bound

MODES = {
    "add": np.add,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "sub": np.subtract,
    "update": lambda _, new: new,
}


def scattered(data, places, updates, mode):
    """Applies updates one after the other; `places` are indices into data."""
    result = data.astype(np.float64 if data.dtype.kind == "f" else np.int64)
    for place, update in zip(places, updates, strict=True):
        if mode == "div" and data.dtype.kind == "i":
            quotient = np.abs(result[place]) // np.abs(update)
            result[place] = np.where((result[place] < 0) != (update < 0), -quotient, quotient)
        else:
            result[place] = MODES[mode](result[place], update)
    return result


def check(result, value, data, mode, n_updates):
    if data.dtype.kind == "i" or mode in {"max", "min", "update"}:
        np.testing.assert_array_equal(result, value)
        return
    # Every update rounds in fp32, relative to what has been summed (or multiplied) up by then.
    slack = n_updates * 2.0**-24 * (np.abs(value) + np.abs(data).max() * (n_updates + 1))
    assert_within(result, value, rounding_bound(value, data.dtype) + slack)


def numbers(rng, shape, dtype):
    if dtype == np.int32:
        return rng.integers(1, 9, shape).astype(dtype)
    return rng.uniform(0.5, 2, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32])
@pytest.mark.parametrize("mode", sorted(MODES))
@pytest.mark.parametrize(
    ("shape", "axis", "count"),
    [((7,), 0, 4), ((5, 3), 0, 6), ((2, 5, 3), 1, 3), ((2, 3, 7), -1, 5)],
)
def test_scatter(evaluate, rng, shape, axis, count, mode, dtype):
    data = numbers(rng, shape, dtype)
    indices = rng.integers(-shape[axis], shape[axis], count).astype(np.int32)
    indices[-1] = indices[0]  # Twice to one place.
    update_shape = list(shape)
    update_shape[axis] = count
    updates = numbers(rng, update_shape, dtype)
    places = [(slice(None),) * (axis % len(shape)) + (i,) for i in indices]
    value = scattered(data, places, np.moveaxis(updates, axis, 0), mode)
    result = evaluate(
        "scatter", {"data": data, "indices": indices, "updates": updates}, shape, dtype, axis=axis,
        mode=mode,
    )  # fmt: skip
    check(result, value, data, mode, count)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32])
@pytest.mark.parametrize("mode", sorted(MODES))
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scatter_along_axis(evaluate, rng, axis, mode, dtype):
    shape = (4, 3, 5)
    data = numbers(rng, shape, dtype)
    update_shape = list(shape)
    update_shape[axis] = 6
    indices = rng.integers(-shape[axis], shape[axis], update_shape).astype(np.int32)
    updates = numbers(rng, update_shape, dtype)
    places = []
    for at in np.ndindex(*update_shape):
        place = list(at)
        place[axis] = indices[at]
        places.append(tuple(place))
    value = scattered(data, places, updates.ravel(), mode)
    result = evaluate(
        "scatter_along_axis", {"data": data, "indices": indices, "updates": updates}, shape, dtype,
        axis=axis, mode=mode,
    )  # fmt: skip
    check(result, value, data, mode, 6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32])
@pytest.mark.parametrize("mode", sorted(MODES))
@pytest.mark.parametrize(
    ("shape", "indices_shape"),
    [((7,), (3, 1)), ((5, 3), (4, 2)), ((5, 3, 2), (2, 2, 1)), ((4, 3), (1,))],
)
def test_scatter_nd(evaluate, rng, shape, indices_shape, mode, dtype):
    data = numbers(rng, shape, dtype)
    depth = indices_shape[-1]
    indices = np.stack(
        [rng.integers(-n, n, indices_shape[:-1]) for n in shape[:depth]], -1
    ).astype(np.int32)  # fmt: skip
    updates = numbers(rng, (*indices_shape[:-1], *shape[depth:]), dtype)
    places = [tuple(row) for row in indices.reshape(-1, depth)]
    value = scattered(data, places, updates.reshape(len(places), *shape[depth:]), mode)
    result = evaluate(
        "scatter_nd",
        {"data": data, "indices": indices, "updates": updates},
        shape,
        dtype,
        mode=mode,
    )
    check(result, value, data, mode, len(places))


def test_scatter_add_against_torch(evaluate, rng):
    torch = pytest.importorskip("torch")
    data = rng.normal(size=(50, 33)).astype(np.float32)
    indices = rng.integers(0, 50, (400, 33)).astype(np.int32)
    updates = rng.normal(size=(400, 33)).astype(np.float32)
    expected = torch.from_numpy(data.astype(np.float64)).scatter_add(
        0, torch.from_numpy(indices.astype(np.int64)), torch.from_numpy(updates.astype(np.float64))
    )
    result = evaluate(
        "scatter_along_axis", {"data": data, "indices": indices, "updates": updates}, data.shape,
        data.dtype, axis=0, mode="add",
    )  # fmt: skip
    # At most some 30 of 400 updates meet: sums of 30 numbers up to 5.
    assert_within(result, expected.numpy(), 30 * 2.0**-24 * 30 * 5)


def test_fp16_updates_are_summed_in_fp32(evaluate):
    data = np.array([2048], np.float16)
    arrays = {"data": data, "indices": np.zeros(64, np.int32), "updates": np.ones(64, np.float16)}
    result = evaluate("scatter", arrays, (1,), data.dtype, mode="add")
    assert result[0] == 2112  # In fp16, 2048 + 1 is 2048.


@pytest.mark.parametrize(
    ("op", "index_shape", "update_shape"),
    [
        ("scatter", (4,), (4, 3)),
        ("scatter_along_axis", (4, 3), (4, 3)),
        ("scatter_nd", (4, 1), (4, 3)),
    ],
)
@pytest.mark.parametrize(
    ("validates", "bad", "low"), [(False, 5, -5), (False, -6, -5), (True, -1, 0), (True, 5, 0)]
)
def test_an_index_outside_is_an_error(emulator, op, index_shape, update_shape, validates, bad, low):
    arrays = {
        "data": np.zeros((5, 3), np.float16),
        "indices": np.zeros(index_shape, np.int32),
        "updates": np.ones(update_shape, np.float16),
    }
    text = mil_text.single(op, arrays, np.float16, (5, 3), validate_indices=validates)
    kernel = emulator.compile(text)
    arrays["indices"].ravel()[0] = bad
    message = rf"{op} 'result': indices must lie in \[{low}, 5\), got {bad} at element 0"
    with pytest.raises(pyane.EvaluateError, match=message):
        kernel(**arrays)


@pytest.mark.parametrize("op", ["gather", "gather_along_axis", "gather_nd"])
def test_gathers_that_validate_take_no_negative_index(emulator, op):
    x = np.zeros((5, 3), np.float16)
    indices = np.zeros({"gather": (4,), "gather_nd": (4, 1)}.get(op, (4, 3)), np.int32)
    text = mil_text.single(op, {"x": x, "indices": indices}, x.dtype, (4, 3), validate_indices=True)
    kernel = emulator.compile(text)
    indices.ravel()[0] = -1
    with pytest.raises(pyane.EvaluateError, match=r"must lie in \[0, 5\), got -1 at element 0"):
        kernel(x=x, indices=indices)
