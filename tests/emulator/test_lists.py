"""Lists of tensors: as long as they were made, a new one at every write."""

from __future__ import annotations

import numpy as np
import pytest

import backend
import mil_text
from pyane.errors import EvaluateError, MilVerifyError

ELEMENT = "tensor<fp16, [2, 3]>"
LIST = f"list<{ELEMENT}, 4>"


def op(name: str, result: str, kind: str = ELEMENT, **arguments) -> str:
    return mil_text.operation(name, result, kind, arguments)


MAKE = op("make_list", "made", LIST, init_length=4, elem_shape=(2, 3), dtype="fp16")


def compiled(inputs, lines, outputs=("y",)):
    return backend.device().compile(mil_text.program(inputs, lines, outputs))


def test_writing_leaves_the_old_list_alone(rng):
    lines = [
        MAKE,
        op("list_write", "one", LIST, ls="%made", index=1, value="%x"),
        op("list_write", "two", LIST, ls="%one", index="%i", value="%z"),
        op("list_read", "a", ls="%one", index="%i"),
        op("list_read", "b", ls="%two", index="%i"),
        op("list_read", "c", ls="%two", index=0),
    ]
    kernel = compiled({"x": ELEMENT, "z": ELEMENT, "i": "int32"}, lines, ["a", "b", "c"])
    x, z = rng.normal(size=(2, 2, 3)).astype(np.float16)
    got = kernel(x, z, np.int32(1))
    np.testing.assert_array_equal(got["a"], x)
    np.testing.assert_array_equal(got["b"], z)
    assert not got["c"].any()
    got = kernel(x, z, np.int32(3))
    assert not got["a"].any()
    np.testing.assert_array_equal(got["b"], z)


def test_gather_and_scatter(rng):
    three, two = "tensor<fp16, [3, 2, 3]>", "tensor<int32, [3]>"
    lines = [
        MAKE,
        op("list_scatter", "s", LIST, ls="%made", indices="%i", value="%x"),
        op(
            "list_gather",
            "y",
            "tensor<fp16, [5, 2, 3]>",
            ls="%s",
            indices=np.array([3, 2, 1, 0, 3]),
        ),
        op("list_length", "n", "int32", ls="%s"),
        op("add", "m", "int32", x="%n", y="%k"),
    ]
    kernel = compiled({"x": three, "i": two, "k": "int32"}, lines, ["y", "m"])
    x = rng.normal(size=(3, 2, 3)).astype(np.float16)
    got = kernel(x, np.array([2, 0, 2], np.int32), np.int32(10))
    expected = np.zeros((4, 2, 3), np.float16)
    expected[0], expected[2] = x[1], x[2]  # The last of equal indices counts.
    np.testing.assert_array_equal(got["y"], expected[[3, 2, 1, 0, 3]])
    assert got["m"] == 14


def test_a_loop_fills_a_list(rng):
    """Running sums, as a recurrent network kept in a list."""
    body = " ".join(
        [
            op("add", "s2", x="%s1", y="%x"),
            op("list_write", "l2", LIST, ls="%l1", index="%i1", value="%s2"),
            op("add", "i2", "int32", x="%i1", y=1),
        ]
    )
    condition = op("less", "go", "bool", x="%i0", y=4)
    loop = (
        f"int32 i, {ELEMENT} s, {LIST} l = while_loop(loop_vars = (int32(0), x, made)) "
        f"c(int32 i0, {ELEMENT} s0, {LIST} l0) {{ {condition} }} -> (go), "
        f"b(int32 i1, {ELEMENT} s1, {LIST} l1) {{ {body} }} -> (i2, s2, l2);"
    )
    lines = [
        MAKE,
        loop,
        op("list_gather", "y", "tensor<fp16, [4, 2, 3]>", ls="%l", indices=np.arange(4)),
    ]
    x = rng.integers(-5, 5, (2, 3)).astype(np.float16)
    got = compiled({"x": ELEMENT}, lines)(x)
    np.testing.assert_array_equal(got, np.stack([x * (i + 2) for i in range(4)]))


@pytest.mark.parametrize("index", [-1, 4, 2**31 - 1])
def test_places_outside(index):
    lines = [MAKE, op("list_write", "w", LIST, ls="%made", index="%i", value="%x")]
    lines.append(op("list_read", "y", ls="%w", index=0))
    kernel = compiled({"x": ELEMENT, "i": "int32"}, lines)
    with pytest.raises(EvaluateError, match=rf"list_write 'w': .*\[0, 4\) .*got {index}"):
        kernel(np.zeros((2, 3), np.float16), np.int32(index))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([op("make_list", "l", LIST, init_length=0, elem_shape=(2, 3))], "init_length must be at"),
        ([op("make_list", "l", LIST, elem_shape=(2, 0))], r"elem_shape must be positive, got \[2, 0"),
        ([op("make_list", "l", LIST, init_length=4, elem_shape=(2, 3))], "'l' is declared as"),
        ([MAKE, op("list_read", "y", ls="%x", index=0)], r"ls \('x'\) must be a list"),
        ([MAKE, op("list_write", "y", LIST, ls="%made", index=0, value="%v")], "value must be tensor"),
    ],
)  # fmt: skip
def test_errors(lines, message):
    with pytest.raises(MilVerifyError, match=message):
        compiled({"x": ELEMENT, "v": "tensor<fp16, [3]>"}, lines, ["y"])
