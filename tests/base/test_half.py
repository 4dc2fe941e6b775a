"""fp16 <-> fp32 in bulk: every fp16 value, every kind of rounding, on each instruction set."""

from __future__ import annotations

import numpy as np
import pytest

import pyane
from pyane._core import base

pytestmark = pytest.mark.usefixtures("isa")


def to_float(half: np.ndarray) -> np.ndarray:
    result = np.full(half.shape, 7, np.float32)
    base.half_to_float(half, result)
    return result


def to_half(single: np.ndarray) -> np.ndarray:
    result = np.full(single.shape, 7, np.float16)
    base.float_to_half(single, result)
    return result


def quiet(half: np.ndarray) -> np.ndarray:
    """NaNs come out quiet, with their payload, as the hardware's instructions have it."""
    is_nan = ((half & 0x7C00) == 0x7C00) & ((half & 0x3FF) != 0)
    return np.where(is_nan, half | 0x200, half).astype(np.uint16)


def test_every_half():
    bits = np.arange(65536, dtype=np.uint16)
    single = to_float(bits.view(np.float16))
    expected = quiet(bits).view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(single.view(np.uint32), expected.view(np.uint32))
    np.testing.assert_array_equal(to_half(single).view(np.uint16), quiet(bits))


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 63, 64, 65, 130])
@pytest.mark.parametrize("columns", [0, 1, 8, 9, 64, 71, 200])
def test_transposed(rng: np.random.Generator, rows: int, columns: int):
    source = rng.standard_normal((rows, columns), dtype=np.float32)
    source[:, :1] *= 1e6
    target = np.full((columns, rows), 7, np.float16)
    base.float_to_half_transposed(source, target)
    np.testing.assert_array_equal(target, to_half(source).T)


def test_transposed_refuses_other_shapes():
    source = np.zeros((2, 3), np.float32)
    with pytest.raises(pyane.ShapeError, match=r"for a source \[R, C\], got \(2, 3\) for \(2, 3\)"):
        base.float_to_half_transposed(source, np.zeros((2, 3), np.float16))
    with pytest.raises(pyane.ShapeError, match="target must be float16 or uint16, got float32"):
        base.float_to_half_transposed(source, np.zeros((3, 2), np.float32))


def test_bits_as_uint16():
    bits = np.array([0x3C00, 0xC000], np.uint16)
    single = to_float(bits)
    np.testing.assert_array_equal(single, [1.0, -2.0])
    back = np.zeros(2, np.uint16)
    base.float_to_half(single, back)
    np.testing.assert_array_equal(back, bits)


def test_ties_and_their_neighbours():
    """Halfway between two neighbouring fp16 values, and one fp32 step to each side."""
    finite = np.arange(0x7BFF, dtype=np.uint16)
    low = finite.view(np.float16).astype(np.float64)
    high = (finite + 1).astype(np.uint16).view(np.float16).astype(np.float64)
    middle = ((low + high) / 2).astype(np.float32)
    assert (middle == (low + high) / 2).all()  # The tie itself is an fp32 value.
    even = np.where(finite % 2 == 0, finite, finite + 1)
    for sign, sign_bit in ((1, 0), (-1, 0x8000)):
        tie = (sign * middle).astype(np.float32)
        np.testing.assert_array_equal(to_half(tie).view(np.uint16), even | sign_bit)
        below = np.nextafter(tie, np.float32(0))
        np.testing.assert_array_equal(to_half(below).view(np.uint16), finite | sign_bit)
        above = np.nextafter(tie, np.float32(sign * np.inf))
        np.testing.assert_array_equal(to_half(above).view(np.uint16), (finite + 1) | sign_bit)


def test_edges():
    values = np.array(
        [65504, 65519.996, 65520, 1e30, np.inf, 2**-24, 2**-25, 2**-25 * 1.0001, 1e-40, -0.0],
        np.float32,
    )
    expected = [0x7BFF, 0x7BFF, 0x7C00, 0x7C00, 0x7C00, 1, 0, 1, 0, 0x8000]
    np.testing.assert_array_equal(to_half(values).view(np.uint16), expected)


def test_nan_payload():
    nans = np.array([0x7FC00000, 0x7F800001, 0xFFABC000, 0x7F802000], np.uint32).view(np.float32)
    expected = [0x7E00, 0x7E00, 0xFF5E, 0x7E01]
    np.testing.assert_array_equal(to_half(nans).view(np.uint16), expected)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 1001, 65536, 65537, 200003])
def test_every_length(n, rng):
    """Ends that do not fill a vector or a thread's block, and nothing written past them."""
    single = rng.normal(size=n).astype(np.float32)
    guarded = np.full(n + 40, 7, np.float16)
    base.float_to_half(single, guarded[:n])
    np.testing.assert_array_equal(guarded[:n], single.astype(np.float16))
    assert (guarded[n:] == 7).all()
    wide = np.full(n + 40, 7, np.float32)
    base.half_to_float(guarded[:n], wide[:n])
    np.testing.assert_array_equal(wide[:n], guarded[:n].astype(np.float32))
    assert (wide[n:] == 7).all()


def test_wrong_arguments():
    single, half = np.zeros(4, np.float32), np.zeros(4, np.float16)
    with pytest.raises(pyane.errors.ShapeError, match="as many elements as source, 4, got 3"):
        base.float_to_half(single, half[:3])
    with pytest.raises(pyane.errors.ShapeError, match="float16 or uint16, got float32"):
        base.half_to_float(single, single)
    with pytest.raises(pyane.errors.ShapeError, match="C-contiguous"):
        base.half_to_float(np.zeros(8, np.float16)[::2], single)
    with pytest.raises(TypeError):
        base.half_to_float(half, np.zeros(4, np.float64))  # Would fill a copy.
    read_only = half.copy()
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="not writeable"):
        base.float_to_half(single, read_only)
