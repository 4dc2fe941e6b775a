from __future__ import annotations

import numpy as np
import pytest

import mil_text
import pyane
import reference_ops


@pytest.mark.parametrize("index_dtype", [np.int32, np.int16, np.uint8])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8])
@pytest.mark.parametrize(
    ("shape", "indices_shape", "axis", "batch_dims"),
    [
        ((7,), (3,), 0, 0),
        ((7,), (), 0, 0),
        ((5, 3), (2, 4), 0, 0),
        ((2, 5, 3), (4,), 1, 0),
        ((2, 5, 3), (4, 1), -1, 0),
        ((2, 5, 3), (2, 4), 1, 1),
        ((2, 3, 5, 7), (2, 3, 4), 2, 2),
        ((2, 3, 5, 7), (2, 4), 3, 1),
    ],
    ids=str,
)
def test_gather(evaluate, rng, shape, indices_shape, axis, batch_dims, dtype, index_dtype):
    x = rng.integers(0, 100, shape).astype(dtype)
    n = shape[axis]
    low = 0 if index_dtype == np.uint8 else -n
    indices = np.asarray(rng.integers(low, n, indices_shape), index_dtype)
    expected = reference_ops.gather(x, indices, axis, batch_dims)
    result = evaluate(
        "gather",
        {"x": x, "indices": indices},
        expected.shape,
        dtype,
        axis=axis,
        batch_dims=batch_dims,
    )
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather_along_axis(evaluate, rng, axis):
    x = rng.normal(size=(5, 3, 7)).astype(np.float16)
    shape = list(x.shape)
    shape[axis] = 4
    indices = rng.integers(-x.shape[axis], x.shape[axis], shape).astype(np.int32)
    expected = np.take_along_axis(x, np.where(indices < 0, indices + x.shape[axis], indices), axis)
    result = evaluate("gather_along_axis", {"x": x, "indices": indices}, shape, x.dtype, axis=axis)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("shape", "indices_shape", "batch_dims"),
    [((7,), (3, 1), 0), ((5, 3), (4, 2), 0), ((5, 3, 2), (4, 1), 0), ((2, 5, 3), (2, 4, 1), 1)],
    ids=str,
)
def test_gather_nd(evaluate, rng, shape, indices_shape, batch_dims):
    x = rng.normal(size=shape).astype(np.float16)
    limits = shape[batch_dims : batch_dims + indices_shape[-1]]
    indices = np.stack(
        [rng.integers(-n, n, indices_shape[:-1]) for n in limits], axis=-1
    ).astype(np.int32)  # fmt: skip
    expected = reference_ops.gather_nd(x, indices, batch_dims)
    result = evaluate(
        "gather_nd", {"x": x, "indices": indices}, expected.shape, x.dtype, batch_dims=batch_dims
    )
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("op", "shape", "index_shape"),
    [
        ("gather", (5, 3), (4,)),
        ("gather_along_axis", (5, 3), (2, 3)),
        ("gather_nd", (5, 3), (2, 2)),
    ],
)
@pytest.mark.parametrize("bad", [5, -6, 2**31 - 1, -(2**31)])
def test_an_index_outside_is_an_error(emulator, op, shape, index_shape, bad):
    x = np.zeros(shape, np.float16)
    indices = np.zeros(index_shape, np.int32)
    expected = {"gather": (4, 3), "gather_along_axis": (2, 3), "gather_nd": (2,)}[op]
    text = mil_text.single(op, {"x": x, "indices": indices}, x.dtype, expected)
    kernel = emulator.compile(text)
    indices.ravel()[0] = bad
    message = rf"{op} 'result': indices must lie in \[-5, 5\), got {bad} at element 0"
    with pytest.raises(pyane.EvaluateError, match=message):
        kernel(x=x, indices=indices)
    indices.ravel()[0] = 4
    kernel(x=x, indices=indices)  # The kernel is none the worse for it.


def test_error_in_a_large_gather_that_runs_on_many_threads(emulator, rng):
    x = rng.normal(size=(100, 512)).astype(np.float16)
    indices = rng.integers(0, 100, 5000).astype(np.int32)
    kernel = emulator.compile(
        mil_text.single("gather", {"x": x, "indices": indices}, x.dtype, (5000, 512))
    )
    np.testing.assert_array_equal(kernel(x=x, indices=indices), x[indices])
    indices[4321] = 100
    with pytest.raises(pyane.EvaluateError, match=r"got 100 at element 4321"):
        kernel(x=x, indices=indices)


@pytest.mark.parametrize("wrong", [2**32 + 3, -(2**31) - 1])
def test_indices_that_would_wrap(emulator, wrong):
    """2**32 + 3 would be row 3."""
    x, indices, y = (
        mil_text.tensor_type(*t) for t in (("float16", [5]), ("int32", [2]), ("float16", [2]))
    )
    arguments = {"x": "%x", "indices": "%i", "axis": 0, "batch_dims": 0, "validate_indices": False}
    lines = [mil_text.operation("gather", "y", y, arguments)]
    kernel = emulator.compile(mil_text.program({"x": x, "i": indices}, lines, ["y"]))
    values = np.arange(5, dtype=np.float16)
    np.testing.assert_array_equal(kernel(values, [1, 3]), [1, 3])
    rule = rf"kernel: input 'i' must be from -2147483648 to 2147483647, .* got {wrong} at \[1\]"
    with pytest.raises(pyane.ShapeError, match=rule):
        kernel(values, [0, wrong])
