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


def misaligned(values: np.ndarray) -> np.ndarray:
    return np.frombuffer(b"x" + values.tobytes(), np.float32, offset=1)


@pytest.mark.parametrize(
    "kind",
    [
        misaligned,
        lambda v: v.astype(">f4"),
        lambda v: np.repeat(v, 3)[::3],
        lambda v: v[::-1][::-1],
    ],
    ids=["misaligned", "big-endian", "strided", "view"],
)
def test_unusual_floats(kind):
    """What cannot be converted as it lies in memory, and what only looks so."""
    values = awkward_floats(1003)
    surface = pyane.Surface(4096)
    surface.write(kind(values), offset=6)
    expected = values.astype(np.float16)
    np.testing.assert_array_equal(
        surface.array((1003,), np.float16, 6).view(np.uint16), expected.view(np.uint16)
    )
    out = kind(np.zeros(1003, np.float32))
    if not out.flags.writeable:
        out = np.zeros(3 * 1003, np.float32)[::3]
    assert surface.read((1003,), offset=6, out=out) is out
    np.testing.assert_array_equal(out, expected.astype(np.float32))
    with pytest.raises(pyane.ShapeError, match="multiple of 2 from 0 on, got 3"):
        surface.write(kind(values), offset=3)


def test_to_the_last_byte():
    surface = pyane.Surface(4096)
    room = surface.n_bytes // 2
    values = awkward_floats(room)
    surface.write(values)
    out = np.empty(room, np.float32)
    surface.read((room,), out=out)
    np.testing.assert_array_equal(out, values.astype(np.float16).astype(np.float32))
    for wrong in (2, surface.n_bytes, -2):
        with pytest.raises(pyane.ShapeError, match=f"offset .*{wrong}"):
            surface.write(values, offset=wrong)
        with pytest.raises(pyane.ShapeError, match=f"offset .*{wrong}"):
            surface.read((room,), offset=wrong, out=out)
    frozen = np.zeros(4, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="not writeable"):
        surface.read((4,), out=frozen)
    np.testing.assert_array_equal(frozen, 0)


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


@pytest.mark.parametrize("wrong", [1.5, "x", None])
def test_arguments_that_are_no_integers(wrong):
    surface = pyane.Surface(4096)
    got = f"must be an int, got {type(wrong).__name__} {wrong!r}"
    for name, call in {
        "Surface: n_bytes": lambda: pyane.Surface(wrong),
        "Surface.open: native_id": lambda: pyane.Surface.open(wrong),
        "Surface.wrap: handle": lambda: pyane.Surface.wrap(wrong),
        "Surface.array: offset": lambda: surface.array(4, np.float16, wrong),
        r"Surface.array: shape\[1\]": lambda: surface.array((4, wrong)),
        "Surface.write: offset": lambda: surface.write(np.zeros(4, np.float32), offset=wrong),
        "Surface.read: offset": lambda: surface.read(4, offset=wrong),
        r"Surface.read: shape\[0\]": lambda: surface.read([wrong]),
    }.items():
        with pytest.raises(TypeError, match=f"{name} {got}"):
            call()


@pytest.mark.parametrize("huge", [2**63, 10**20, -(10**20)])
def test_arguments_that_no_machine_has(huge):
    surface = pyane.Surface(4096)
    for name, call in {
        "Surface: n_bytes": lambda: pyane.Surface(huge),
        "Surface.open: native_id": lambda: pyane.Surface.open(huge),
        "Surface.array: offset": lambda: surface.array(4, np.float16, huge),
        r"Surface.array: shape\[0\]": lambda: surface.array(huge),
        "Surface.write: offset": lambda: surface.write(np.zeros(4, np.float32), offset=huge),
    }.items():
        with pytest.raises(pyane.ShapeError, match=f"{name} must (be at|not be) .*, got {huge}"):
            call()
    with pytest.raises(pyane.ShapeError, match="n_bytes must not be negative, got -1"):
        pyane.Surface(-1)


def test_out_that_is_no_array():
    with pytest.raises(TypeError, match=r"Surface.read: out must be a NumPy array, got list"):
        pyane.Surface(4096).read((3,), out=[0, 0, 0])


@pytest.mark.parametrize("dtype", ["U3", "S3", "V3", "O", "M8[s]", [("a", "f4"), ("b", "i4")]])
def test_arrays_of_what_is_no_number(dtype):
    with pytest.raises(pyane.ShapeError, match=r"Surface.array: dtype must be one of numbers, got"):
        pyane.Surface(4096).array([4], dtype)


@pytest.mark.parametrize(
    ("source", "target", "wrong"),
    [
        ("int64", "int32", 2**31),
        ("int64", "int32", -(2**31) - 1),
        ("int64", "int32", 2**32 + 3),
        (">i8", "int32", 2**40),
        ("int16", "int8", -129),
        ("uint8", "int8", 200),
        ("uint64", "int64", 2**63),
        ("uint64", "uint32", 2**32),
    ],
)
def test_integers_out_of_range(source, target, wrong):
    """NumPy would wrap them: 2**32 + 3 would be 3."""
    surface = pyane.Surface(4096)
    info = np.iinfo(target)
    fitting = np.array([[0, info.max], [1, info.min]]).astype(source)
    if np.iinfo(source).min < 0:
        surface.write(fitting, target)
        np.testing.assert_array_equal(surface.read((2, 2), target), fitting)
    before = surface.array((2, 2), target).copy()
    values = np.zeros((2, 2), source)
    values[1, 0] = wrong
    rule = rf"must be from {info.min} to {info.max}, as {target} holds, got {wrong} at \[1, 0\]"
    with pytest.raises(pyane.ShapeError, match=rf"Surface.write: values {rule}"):
        surface.write(values, target)
    np.testing.assert_array_equal(surface.array((2, 2), target), before)
    surface.write(values, source)
    with pytest.raises(pyane.ShapeError, match=rf"Surface.read: out {rule}"):
        surface.read((2, 2), source, out=np.zeros((2, 2), target))


def test_no_integers_at_all():
    surface = pyane.Surface(4096)
    surface.write(np.zeros((0, 3), np.int64), np.int32)
