"""Numbers in MIL text against exact rational arithmetic, and against NumPy."""

from __future__ import annotations

import bisect
import math
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyane import mil
from pyane.errors import MilSyntaxError, ShapeError

VALID = Path(__file__).parents[1] / "data" / "mil" / "valid"


class Format(NamedTuple):
    """A binary float format: fields of its encoding and what its last exponent means."""

    array_dtype: str
    mantissa_bits: int
    bias: int
    largest: int  # Bits of the largest finite value.
    infinity: int | None
    nan: int


FORMATS = {
    "fp16": Format("uint16", 10, 15, 0x7BFF, 0x7C00, 0x7E00),
    "bf16": Format("uint16", 7, 127, 0x7F7F, 0x7F80, 0x7FC0),
    "fp8e5m2": Format("uint8", 2, 15, 0x7B, 0x7C, 0x7E),
    "fp8e4m3fn": Format("uint8", 3, 7, 0x7E, None, 0x7F),
}


def exact_value(bits: int, form: Format) -> Fraction:
    field, fraction = divmod(bits, 1 << form.mantissa_bits)
    if field == 0:
        field, implicit = 1, 0
    else:
        implicit = 1 << form.mantissa_bits
    return (fraction + implicit) * Fraction(2) ** (field - form.bias - form.mantissa_bits)


@lru_cache
def values_of(name: str) -> list[Fraction]:
    form = FORMATS[name]
    return [exact_value(bits, form) for bits in range(form.largest + 1)]


def nearest(value: Fraction, name: str) -> int | None:
    """Bits of the nearest value, ties to even; None beyond the range. By search, not by shifts."""
    values = values_of(name)
    above = bisect.bisect_left(values, value)
    if above == len(values):
        # Rounds to the largest value below the tie with what would come next.
        step = values[-1] - values[-2]
        overflow = value - values[-1] > step / 2 or (
            value - values[-1] == step / 2 and (len(values) - 1) % 2 == 1
        )
        return None if overflow else len(values) - 1
    if values[above] == value or above == 0:
        return above
    below = above - 1
    to_below, to_above = value - values[below], values[above] - value
    if to_below == to_above:
        return below if below % 2 == 0 else above
    return below if to_below < to_above else above


def literal(type_text: str, payload: str) -> mil.Literal:
    return mil.parse(f"program(1.3)[a = {type_text}({payload})]{{}}").attributes["a"]


def bits_of(name: str, text: str) -> int:
    value = literal(f"tensor<{name}, [1]>", f"[{text}]").value
    return int(value.view(FORMATS[name].array_dtype)[0])


def exact_decimal(value: Fraction) -> str:
    """All digits of a dyadic rational."""
    with localcontext() as context:
        context.prec = 2000
        return format(Decimal(value.numerator) / Decimal(value.denominator), "f")


@pytest.mark.parametrize("name", FORMATS)
def test_every_value_prints_and_parses_to_its_bits(name: str) -> None:
    form = FORMATS[name]
    positive = [*range(form.largest + 1), form.nan]
    if form.infinity is not None:
        positive.append(form.infinity)
    sign = 1 << (8 * np.dtype(form.array_dtype).itemsize - 1)
    bits = np.array([*positive, *(value | sign for value in positive)], form.array_dtype)
    if name == "fp16":
        bits = bits.view(np.float16)
    original = mil.Literal.tensor(bits, name)
    assert literal(*repr(original)[:-1].split("(", 1)) == original


@pytest.mark.parametrize("name", FORMATS)
def test_ties_and_their_neighbours_round_once(name: str, rng: np.random.Generator) -> None:
    values = values_of(name)
    count = min(len(values) - 1, 60)
    picked = {0, 1, 2, len(values) - 2, *rng.choice(len(values) - 1, count, replace=False)}
    # So little above or below a tie that fp64 rounds it to the tie.
    little = Fraction(1, 10**400)
    for below in sorted(picked):
        tie = (values[below] + values[below + 1]) / 2
        for value in (tie, tie - little, tie + little):
            text = exact_decimal(value)
            assert Fraction(text) == value
            assert bits_of(name, text) == nearest(value, name), text
            shifted = f"{text.replace('.', '').lstrip('0')}e{-len(text.partition('.')[2])}"
            assert bits_of(name, shifted) == nearest(value, name), shifted


@given(
    st.sampled_from(sorted(FORMATS)),
    st.integers(0, 2**200),
    st.integers(-400, 200),
    st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_hexadecimal_numbers_round_once(
    name: str, mantissa: int, exponent: int, is_negative: bool
) -> None:
    expected = nearest(mantissa * Fraction(2) ** exponent, name)
    text = f"{'-' if is_negative else ''}{mantissa:#x}p{exponent}"
    if expected is None:
        with pytest.raises(MilSyntaxError, match=f"in the range of {name}"):
            bits_of(name, text)
    else:
        sign = 1 << (8 * np.dtype(FORMATS[name].array_dtype).itemsize - 1)
        assert bits_of(name, text) == (expected | sign if is_negative else expected)


@given(st.sampled_from(sorted(FORMATS)), st.decimals(0, 10**6, allow_nan=False))
@settings(max_examples=400, deadline=None)
def test_decimal_numbers_round_once(name: str, number: Decimal) -> None:
    expected = nearest(Fraction(number), name)
    if expected is None:
        with pytest.raises(MilSyntaxError, match=f"in the range of {name}"):
            bits_of(name, f"{number:e}")
    else:
        assert bits_of(name, f"{number:e}") == expected
        assert bits_of(name, f"{number:f}") == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=300, deadline=None)
def test_fp64_agrees_with_python(number: float) -> None:
    expected = np.float64(number).tobytes()
    for text in (repr(number), f"{number:.17e}", number.hex()):
        assert np.float64(literal("fp64", text).value).tobytes() == expected
    in_dict = mil.Literal.items(
        mil.Type.list_of(mil.Type.scalar("fp64")), [mil.Literal.tensor(np.float64(number))]
    )
    assert literal(*repr(in_dict)[:-1].split("(", 1)) == in_dict


@given(st.fractions(0, 10**30), st.integers(-60, 60))
@settings(max_examples=300, deadline=None)
def test_fp32_is_nearest(fraction: Fraction, power: int) -> None:
    with localcontext() as context:
        context.prec = 60
        number = Decimal(fraction.numerator) / Decimal(fraction.denominator)
        number = number.scaleb(power)
    exact = Fraction(number)
    if exact >= Fraction(float(np.finfo(np.float32).max)):
        return
    got = np.float32(literal("fp32", f"{number:e}").value)
    error = abs(Fraction(float(got)) - exact)
    for neighbour in (np.nextafter(got, np.float32(np.inf)), np.nextafter(got, np.float32(0))):
        if np.isfinite(neighbour):
            assert error <= abs(Fraction(float(neighbour)) - exact)


INTEGERS = ["int4", "int8", "int16", "int32", "int64"]
UNSIGNED = ["uint1", "uint2", "uint3", "uint4", "uint6", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("name", [*INTEGERS, *UNSIGNED])
def test_integers_at_the_ends_of_their_range(name: str) -> None:
    bits = int(name.lstrip("uint"))
    low, high = (0, 2**bits - 1) if name[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for value in (low, high, 0):
        read = literal(name, str(value))
        assert read.value == value
        assert repr(read) == f"{name}({value})"
    for value in (low - 1, high + 1, 10**30, -(10**30)):
        with pytest.raises(MilSyntaxError, match=rf"{name} in \[{low}, {high}\], got '{value}'"):
            literal(name, str(value))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        ("1e-400", 0.0),
        ("0x1p-2000", 0.0),
        ("0e999999999999999999999", 0.0),
        ("0x0p99999999999999999999", 0.0),
        ("5.", 5.0),
        ("0x.8", 0.5),
        ("0X1P+1", 2.0),
        ("1E2", 100.0),
        ("0." + "0" * 5000 + "1e5001", 1.0),
        ("1" + "0" * 5000 + "e-5000", 1.0),
        ("0x0." + "0" * 5000 + "1p20004", 1.0),
    ],
)
@pytest.mark.parametrize("name", ["fp16", "fp32", "fp64"])
def test_unusual_spellings(name: str, text: str, expected: float) -> None:
    assert literal(name, text).value == expected
    negative = literal(name, "-" + text).value
    assert negative == -expected
    assert math.copysign(1, negative) == -1


@pytest.mark.parametrize("text", ["1e400", "1e99999999999999999999", "0x1p99999999999999999999"])
@pytest.mark.parametrize("name", ["fp16", "fp32", "fp64", "bf16"])
def test_too_large(name: str, text: str) -> None:
    with pytest.raises(MilSyntaxError, match=f"in the range of {name}, got '{text}'"):
        literal(name, text)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3), (1, 1, 1), (3, 1, 5), (0,), (2, 0, 3)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "uint8", "bool"])
def test_arrays(shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> None:
    array = (
        (rng.normal(size=shape) * 100).astype(dtype)
        if dtype != "uint8"
        else np.asarray(rng.integers(0, 255, shape), dtype)
    )
    original = mil.Literal.tensor(array)
    again = literal(*repr(original)[:-1].split("(", 1))
    assert again == original
    assert again.type.shape == shape
    if shape:
        np.testing.assert_array_equal(again.value, array, strict=True)
        assert not again.value.flags.writeable
    else:
        assert again.value == array.item()


def test_hand_written_literals() -> None:
    program = mil.parse((VALID / "literals.mil").read_text())
    values: dict[str, Any] = {
        op.name: op.attributes["val"].value
        for op in program.functions[0].operations
        if op.type == "const"
    }
    nested = np.array([[1, -0.1875, 1], [0.5, 1e-6, -0.0]], np.float16)
    assert values["nested"].tobytes() == nested.tobytes()
    special = np.array([np.inf, -np.inf, np.nan, -np.nan, 2.0**-24, 65504], np.float16)
    np.testing.assert_array_equal(values["special"], special)
    assert list(np.signbit(values["special"])) == [False, True, False, True, False, False]
    assert values["long_hexadecimal"] == 257 / 65536
    assert values["capitals"] == (1 + 0xAB / 256) * 4
    assert np.float32(values["thirds"]) == np.float32(1) / np.float32(3)
    assert values["smallest"] == 2.0**-1074
    assert values["brain"] == 0x4049
    assert list(values["small"]) == [0x7E, 0x81, 0x7F]
    assert list(values["small2"]) == [0x7B, 0xFC, 0x2E]
    assert values["yes"] is True
    assert list(values["flags"]) == [True, False, True]
    assert list(values["narrow"]) == [-8, 0, 7]
    assert list(values["bits"]) == [0, 1]
    assert values["six"] == 63
    assert values["lowest"] == -(2**63)
    assert values["highest"] == 2**64 - 1
    assert values["verbose"] == -1
    assert values["none"].shape == (0,)
    assert values["none_twice"].shape == (2, 0)
    assert values["none_short"].shape == (3, 0)
    assert values["words"] == [["a", "b"], ["c", "d"]]
    assert list(values["open"]) == [1, 2, 3]
    np.testing.assert_array_equal(values["open_inside"], [[[1], [2]], [[3], [4]]])
    assert values["names"] == ["ane", "bnns", "classic_cpu"]
    np.testing.assert_array_equal(values["pairs"], [[1, 2], [3, 4]])
    assert values["empty_list"] == []
    assert values["empty_tuple"] == ()
    assert values["empty_dict"] == {}
    assert values["costs"] == {"ane": 0.0053854552049280146, "bnns": 0.0}
    assert values["halves"] == {
        "tenth": np.float16(0.1).item(),
        "least": 2.0**-24,
        "none": -math.inf,
    }
    assert values["deep"] == {-1: {"a": True}, 2: {}}


def test_hand_written_strings() -> None:
    program = mil.parse((VALID / "strings.mil").read_text())
    assert program.attributes["buildInfo"].value == {
        "plain": "text",
        "empty": "",
        "quote": 'say "hi"',
        "backslash": "C:\\x",
        "lines": "a\nb\r\tc",
        "codes": "Aé€\0",
        "utf8": "é€😀",
        "punctuation": "a, b) ] } // ;",
    }


@pytest.mark.parametrize(
    ("array", "dtype", "message"),
    [
        (np.zeros(2), "fp16", r"array for fp16 must be float16, got float64 \[2\]"),
        (np.zeros(2, np.float32), "bf16", r"array for bf16 must be uint16, got float32 \[2\]"),
        (np.array([3, 16], np.uint8), "uint4", r"uint4 must be in \[0, 15\], got 16 at element 1"),
        (np.array([-9], np.int8), "int4", r"int4 must be in \[-8, 7\], got -9 at element 0"),
        (np.zeros(2), "half", r"MIL element type such as fp16 or int32, got 'half'"),
        (np.zeros(2, complex), None, r"dtype that MIL has too, got complex128"),
        (np.zeros((1,) * 17, np.int32), None, r"at most 16 dimensions, got 17"),
        (np.zeros(1, ">f4"), None, r"dtype that MIL has too, got >f4"),
    ],
)
def test_arrays_that_do_not_fit(array: np.ndarray, dtype: str | None, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        mil.Literal.tensor(array, dtype)


def test_array_that_is_not_contiguous() -> None:
    array = np.arange(12, dtype=np.int32).reshape(3, 4).T
    np.testing.assert_array_equal(mil.Literal.tensor(array).value, array)


def test_value_keeps_its_literal_alive() -> None:
    value = literal("tensor<int32, [3]>", "[1, 2, 3]").value
    assert list(value) == [1, 2, 3]
