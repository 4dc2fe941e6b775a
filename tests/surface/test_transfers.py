"""Surface.write and Surface.read: the bits of NumPy's conversions, for any size and kind."""

from __future__ import annotations

import numpy as np
import pytest

import pyane

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in cast")


def awkward_floats(n: int) -> np.ndarray:
    """fp32 numbers that round in every way: to even, to subnormals, to zero, to infinity."""
    rng = np.random.default_rng(n)
    values = np.ldexp(rng.uniform(1, 2, n), rng.integers(-30, 18, n)) * rng.choice([-1, 1], n)
    special = [0.0, -0.0, np.inf, -np.inf, 65519.9, 65520.0, 2.0**-25, 2.0**-24 * 1.5, 1 + 2.0**-11]
    values[: len(special)] = special[:n]
    return values.astype(np.float32)


@pytest.mark.parametrize("n", [1, 17, 1000, 65536, 70001])
def test_write_then_read(n):
    surface = pyane.Surface(2 * n + 64)
    values = awkward_floats(n)
    surface.write(values)
    stored = surface.array((n,), np.float16)
    np.testing.assert_array_equal(stored.view(np.uint16), values.astype(np.float16).view(np.uint16))
    result = surface.read(n)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, values.astype(np.float16).astype(np.float32))
    surface.array((n,), np.float16)[...] = 0
    np.testing.assert_array_equal(result, values.astype(np.float16))  # it was a copy


def test_more_than_the_caches_hold():
    n = (1 << 24) + 3
    values = np.resize(awkward_floats(10007), n)
    surface = pyane.Surface(2 * n)
    surface.write(values)
    expected = np.resize(awkward_floats(10007).astype(np.float16), n)
    stored = surface.array((n,), np.float16)
    np.testing.assert_array_equal(stored.view(np.uint16), expected.view(np.uint16))
    np.testing.assert_array_equal(surface.read(n)[-4099:], expected[-4099:].astype(np.float32))


def test_transposed_values_and_offset():
    surface = pyane.Surface(4096)
    values = awkward_floats(60).reshape(5, 12).T
    surface.write(values, offset=128)
    np.testing.assert_array_equal(surface.array(values.shape, np.float16, 128), values.astype("f2"))
    np.testing.assert_array_equal(surface.read((12, 5), offset=128), values.astype("f2"))


@pytest.mark.parametrize("dtype", ["float32", "int32", "int8", "bool"])
def test_other_types(dtype):
    surface = pyane.Surface(4096)
    values = np.arange(30).astype(dtype)
    surface.write(values, dtype)
    result = surface.read((5, 6), dtype)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, values.reshape(5, 6))


def test_into_a_given_array():
    surface = pyane.Surface(4096)
    surface.write([1.0, 2.5, 3.0])
    for dtype in (np.float16, np.float32, np.float64):
        out = np.zeros(3, dtype)
        assert surface.read(3, out=out) is out
        np.testing.assert_array_equal(out, [1.0, 2.5, 3.0])


def test_from_the_surface_itself():
    surface = pyane.Surface(4096)
    surface.array((100,), np.float32)[...] = np.arange(100)
    surface.write(surface.array((100,), np.float32))
    np.testing.assert_array_equal(surface.read(100), np.arange(100))


def test_refusals():
    surface = pyane.Surface(4096)
    room = surface.n_bytes // 2
    with pytest.raises(pyane.ShapeError, match=f"does not fit into the surface's {2 * room} bytes"):
        surface.write(np.zeros(room + 1, np.float32))
    with pytest.raises(pyane.ShapeError, match="convertible to float16, got complex128"):
        surface.write(np.zeros(4, complex))
    with pytest.raises(
        pyane.ShapeError, match=r"shape \[4\] for float16, got float32 of shape \[5\]"
    ):
        surface.read(4, out=np.zeros(5, np.float32))
    with pytest.raises(pyane.ShapeError, match="for float16, got int32"):
        surface.read(4, out=np.zeros(4, np.int32))
