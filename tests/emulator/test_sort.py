from __future__ import annotations

import numpy as np
import pytest

import mil_text

DTYPES = [np.float16, np.float32, np.int32]
CASES = [((1,), 0), ((7,), -1), ((3, 5), 0), ((2, 33, 3), 1), ((4, 2, 300), -1)]


def values(rng, shape, dtype):
    """Many equal elements among them."""
    return rng.integers(-20, 20, shape).astype(dtype)


def order(x, axis, ascending):
    """Equal elements keep their order."""
    keys = x.astype(np.float64)
    return np.argsort(keys if ascending else -keys, axis=axis, kind="stable")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis"), CASES, ids=str)
@pytest.mark.parametrize("ascending", [False, True])
def test_argsort(evaluate, rng, shape, axis, ascending, dtype):
    x = values(rng, shape, dtype)
    result = evaluate("argsort", {"x": x}, shape, np.int32, axis=axis, ascending=ascending)
    np.testing.assert_array_equal(result, order(x, axis, ascending))


def topk(emulator, x, k, axis, **attributes):
    shape = list(x.shape)
    shape[axis] = x.shape[axis] if k == -1 else k
    indices_dtype = attributes.get("output_indices_dtype", "int32")
    types = (mil_text.tensor_type(x.dtype, shape), mil_text.tensor_type(indices_dtype, shape))
    names = ["values", "indices"]
    if attributes.get("return_indices") is False:
        types, names = types[:1], names[:1]
    results = ", ".join(f"{kind} {name}" for kind, name in zip(types, names, strict=True))
    given = {"k": k, "axis": axis} | attributes
    arguments = ", ".join(f"{name} = {mil_text.literal(v)}" for name, v in given.items())
    line = f'{results} = topk(x = x, {arguments})[name = string("top")];'
    inputs = {"x": mil_text.tensor_type(x.dtype, x.shape)}
    return emulator.compile(mil_text.program(inputs, [line], names))(x=x)


@pytest.mark.parametrize("dtype", [*DTYPES, np.int8, np.uint8, np.int16, np.uint16])
@pytest.mark.parametrize(("shape", "axis"), CASES, ids=str)
@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("k", [1, 3, -1])
def test_topk(emulator, rng, shape, axis, k, ascending, dtype):
    if k > shape[axis]:
        pytest.skip("k is larger than the dimension")
    x = (
        np.abs(values(rng, shape, dtype))
        if dtype in {np.uint8, np.uint16}
        else values(rng, shape, dtype)
    )
    result = topk(emulator, x, k, axis, ascending=ascending)
    expected = np.take(order(x, axis, ascending), range(shape[axis] if k == -1 else k), axis)
    np.testing.assert_array_equal(result["indices"], expected)
    np.testing.assert_array_equal(result["values"], np.take_along_axis(x, expected, axis))


def test_topk_against_torch(emulator, rng):
    torch = pytest.importorskip("torch")
    x = rng.permutation(6 * 700).reshape(6, 700).astype(np.float32)
    theirs = torch.topk(torch.from_numpy(x), 37)
    result = topk(emulator, x, 37, 1, sort=True)
    np.testing.assert_array_equal(result["values"], theirs.values.numpy())
    np.testing.assert_array_equal(result["indices"], theirs.indices.numpy())


def test_topk_of_values_alone_and_with_narrow_indices(emulator, rng):
    x = rng.permutation(100).astype(np.float16)
    result = topk(emulator, x, 5, 0, return_indices=False)
    np.testing.assert_array_equal(result, [99, 98, 97, 96, 95])
    result = topk(emulator, x, 5, 0, output_indices_dtype="uint16")
    assert result["indices"].dtype == np.uint16
    np.testing.assert_array_equal(x[result["indices"]], [99, 98, 97, 96, 95])


def test_order_of_special_values(evaluate):
    """NaN is the largest, as in PyTorch and NumPy; both zeros are equal."""
    x = np.array([0.0, np.nan, -0.0, np.inf, -np.inf, 1e-7, -1e-7], np.float16)
    result = evaluate("argsort", {"x": x}, x.shape, np.int32, ascending=True)
    np.testing.assert_array_equal(result, [4, 6, 0, 2, 5, 3, 1])
    result = evaluate("argsort", {"x": x}, x.shape, np.int32, ascending=False)
    np.testing.assert_array_equal(result, [1, 3, 5, 0, 2, 6, 4])


def test_order_of_extreme_integers(evaluate):
    x = np.array([0, 2**31 - 1, -(2**31), -1, 1], np.int32)
    result = evaluate("argsort", {"x": x}, x.shape, np.int32, ascending=True)
    np.testing.assert_array_equal(result, [2, 3, 0, 4, 1])
