"""cond and while_loop: blocks that are evaluated, or not, or many times."""

from __future__ import annotations

import numpy as np
import pytest

import backend
import mil_text
from pyane.errors import EvaluateError, MilVerifyError, UnsupportedOpError

KIND = "tensor<fp16, [2, 3]>"


def op(name: str, result: str, kind: str = KIND, **arguments) -> str:
    return mil_text.operation(name, result, kind, arguments)


def block(name: str, parameters: str, lines: list[str], outputs: str) -> str:
    return f"{name}({parameters}) {{ {' '.join(lines)} }} -> ({outputs})"


def cond(results: str, pred: str, yes: tuple[list[str], str], no: tuple[list[str], str]) -> str:
    blocks = f"{block('yes', '', *yes)}, {block('no', '', *no)}"
    return f'{results} = cond(pred = {pred})[name = string("c")] {blocks};'


def loop(results: str, variables: str, condition: str, body: str) -> str:
    head = f"{results} = while_loop(loop_vars = ({variables}))"
    return f'{head}[name = string("loop")] {condition}, {body};'


def compiled(inputs, lines, outputs, weights=None):
    return backend.device().compile(mil_text.program(inputs, lines, outputs), weights)


BRANCHES = (
    ([op("add", "t", x="%x", y="%z")], "t"),
    ([op("sub", "t", x="%x", y="%z")], "t"),  # Branches may use the same names.
)


@pytest.mark.parametrize("plain", ["0", "1"])
@pytest.mark.parametrize("pred", [False, True])
def test_cond(rng, monkeypatch, pred, plain):
    monkeypatch.setenv("PYANE_EMULATOR_PLAIN", plain)
    lines = [op("mul", "z", x="%x", y="%x"), cond(f"{KIND} c", "p", *BRANCHES)]
    lines.append(op("relu", "y", x="%c"))
    kernel = compiled({"x": KIND, "p": "bool"}, lines, ["y"])
    x = rng.normal(size=(2, 3)).astype(np.float16)
    square = x * x
    expected = np.maximum(x + square if pred else x - square, 0)
    np.testing.assert_array_equal(kernel(x, np.bool_(pred)), expected)


def test_predicates_are_any_byte_but_zero():
    kernel = compiled({"x": KIND, "z": KIND, "p": "bool"}, [cond(f"{KIND} y", "p", *BRANCHES)], "y")
    kernel.inputs["x"][...], kernel.inputs["z"][...] = 2, 3
    for byte, result in [(0, -1), (1, 5), (2, 5), (128, 5)]:
        kernel.inputs["p"].view(np.uint8)[...] = byte
        kernel.evaluate()
        assert (kernel.outputs["y"] == result).all()


@pytest.mark.emulator
def test_only_the_branch_that_a_constant_chooses_must_be_executable():
    """Branches of results whose size depends on values are refused, unless never taken."""
    unbounded = [
        op("non_zero", "nz", "tensor<int32, [?, 2]>", x="%x"),
        op("cast", "nf", "tensor<fp16, [?, 2]>", x="%nz", dtype="fp16"),
        op("reshape", "t", x="%nf", shape=np.array([2, 3])),
    ]
    lines = [
        op("const", "p", "bool", val=True).replace("(val = bool(true))[", "()[val = bool(true), "),
        cond(f"{KIND} y", "p", ([op("relu", "t", x="%x")], "t"), (unbounded, "t")),
    ]
    x = np.array([[-1, 2, 3], [4, -5, 6]], np.float16)
    np.testing.assert_array_equal(compiled({"x": KIND}, lines, ["y"])(x), np.maximum(x, 0))
    with pytest.raises(
        UnsupportedOpError, match=r"non_zero .nz.: .* every dimension of its result"
    ):
        compiled({"x": KIND, "p": "bool"}, lines[1:], ["y"])


def test_branches_give_values_from_outside_constants_and_one_value_twice(rng):
    one = "tensor<fp16, [2, 3]>([[1, 1, 1], [1, 1, 1]])"
    yes = ([op("const", "k").replace("()[", f"()[val = {one}, ")], "x, k")
    no = ([op("neg", "n").replace("neg()", "mul(x = x, y = fp16(-1))")], "n, n")
    kernel = compiled({"x": KIND, "p": "bool"}, [cond(f"{KIND} a, {KIND} b", "p", yes, no)], "ab")
    x = rng.normal(size=(2, 3)).astype(np.float16)
    got = kernel(x, np.bool_(True))
    np.testing.assert_array_equal(got["a"], x)
    assert (got["b"] == 1).all()
    got = kernel(x, np.bool_(False))
    np.testing.assert_array_equal(got["a"], -x)
    np.testing.assert_array_equal(got["b"], -x)


COUNT = block("c", f"int32 i0, {KIND} a0", [op("less", "go", "bool", x="%i0", y="%n")], "go")
DOUBLE = block(
    "b",
    f"int32 i1, {KIND} a1",
    [op("add", "i2", "int32", x="%i1", y=1), op("add", "a2", x="%a1", y="%x")],
    "i2, a2",
)


@pytest.mark.parametrize("plain", ["0", "1"])
@pytest.mark.parametrize("n", [-1, 0, 1, 2, 37])
def test_while_loop(rng, monkeypatch, n, plain):
    monkeypatch.setenv("PYANE_EMULATOR_PLAIN", plain)
    lines = [loop(f"int32 i, {KIND} y", "int32(0), x", COUNT, DOUBLE)]
    kernel = compiled({"x": KIND, "n": "int32"}, lines, ["y", "i"])
    x = rng.integers(-9, 9, (2, 3)).astype(np.float16)
    got = kernel(x, np.int32(n))
    assert got["i"] == max(n, 0)
    np.testing.assert_array_equal(got["y"], x * (max(n, 0) + 1))


def test_variables_that_change_places():
    """(a, b) = (b, a + b): Fibonacci, whose body gives one parameter back as it came."""
    parameters = "int32 {0}i, int32 {0}a, int32 {0}b"
    lines = [
        loop(
            "int32 i, int32 a, int32 b",
            "int32(0), int32(0), int32(1)",
            block("c", parameters.format("c"), [op("less", "go", "bool", x="%ci", y="%n")], "go"),
            block(
                "d",
                parameters.format("d"),
                [op("add", "j", "int32", x="%di", y=1), op("add", "s", "int32", x="%da", y="%db")],
                "j, db, s",
            ),
        )
    ]
    kernel = compiled({"n": "int32"}, lines, ["a"])
    assert [int(kernel(np.int32(n))) for n in range(12)] == [
        0,
        1,
        1,
        2,
        3,
        5,
        8,
        13,
        21,
        34,
        55,
        89,
    ]


def test_nested(rng):
    """A cond in a loop in a cond, with matrix products of constants inside."""
    weight = rng.normal(size=(3, 3)).astype(np.float16)
    inner = cond(
        f"{KIND} a2",
        "even",
        ([op("matmul", "m", x="%a1", y=weight)], "m"),
        ([op("sub", "m", x="%a1", y="%x")], "m"),
    )
    body = [
        op("add", "i2", "int32", x="%i1", y=1),
        op("mod", "r", "int32", x="%i1", y=2),
        op("equal", "even", "bool", x="%r", y=0),
        inner,
    ]
    step = block("b", f"int32 i1, {KIND} a1", body, "i2, a2")
    outer = ([loop(f"int32 i, {KIND} a", "int32(0), x", COUNT, step)], "a")
    lines = [cond(f"{KIND} y", "p", outer, ([op("relu", "z", x="%x")], "z"))]
    kernel = compiled({"x": KIND, "n": "int32", "p": "bool"}, lines, ["y"])
    x = rng.normal(size=(2, 3)).astype(np.float16)
    expected = x
    for i in range(3):
        if i % 2:
            expected = expected - x
        else:
            product = expected.astype(np.float32) @ weight.astype(np.float32)
            expected = product.astype(np.float16)
    got = kernel(x, np.int32(3), np.bool_(True))
    # Sums of three products in another order: at most a unit of fp16 for each of two products.
    np.testing.assert_allclose(got, expected, rtol=2**-9, atol=2**-8)
    np.testing.assert_array_equal(kernel(x, np.int32(3), np.bool_(False)), np.maximum(x, 0))


@pytest.mark.emulator
def test_blocks_read_and_write_states(rng):
    state = f"state<{KIND}>"
    write = "write_state(input = kv, data = t);"
    yes = ([op("read_state", "r", input="%kv"), op("add", "t", x="%r", y="%x"), write], "r")
    no = ([op("read_state", "r", input="%kv")], "r")
    lines = [
        op("read_state", "before", input="%kv"),
        cond(f"{KIND} c", "p", yes, no),
        op("sub", "y", x="%c", y="%before"),
        op("read_state", "after", input="%kv"),
    ]
    kernel = compiled({"x": KIND, "p": "bool", "kv": state}, lines, ["y", "after"])
    x = rng.integers(1, 9, (2, 3)).astype(np.float16)
    sums = []
    for pred in (True, False, True):
        got = kernel(x=x, p=np.bool_(pred))
        assert not got["y"].any()
        sums.append(got["after"][0, 0] / x[0, 0])
    assert sums == [1, 1, 2]


def test_a_loop_without_end_stops():
    always = block(
        "c", f"{KIND} a0", [op("const", "go", "bool").replace("()[", "()[val = bool(true), ")], "go"
    )
    body = block("b", f"{KIND} a1", [op("relu", "a2", x="%a1")], "a2")
    kernel = compiled({"x": KIND}, [loop(f"{KIND} y", "x", always, body)], ["y"])
    with pytest.raises(EvaluateError, match=r"while_loop 'loop': .* still true after 1048576 iter"):
        kernel(np.zeros((2, 3), np.float16))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([cond(f"{KIND} y", "p", *BRANCHES).partition(", no()")[0] + ";"], "has 2 blocks, got 1"),
        ([cond(f"{KIND} y", "x", *BRANCHES)], r"pred \('x'\) must be bool"),
        ([cond(f"{KIND} y", "p", BRANCHES[0], ([], "p"))], "same types, got .*fp16.* and bool"),
        ([cond(f"{KIND} y", "p", BRANCHES[0], ([], "x, z"))], "must give 1 values, got 2"),
        ([cond("tensor<fp16, [3, 2]> y", "p", *BRANCHES)], "'y' is declared as"),
        ([cond(f"{KIND} y", "p", *BRANCHES), op("relu", "w", x="%t")], "'t' is not defined"),
        ([cond(f"{KIND} y", "p", ([op("relu", "x", x="%z")], "x"), BRANCHES[1])], "'x' is defined"),
        ([loop(f"int32 y, {KIND} a", "int32(0), x", COUNT, COUNT)], "body, must give 2 values, got 1"),
        ([loop(f"{KIND} a, int32 y", "x, int32(0)", COUNT, DOUBLE)], "'i0' of block 'c' is declared"),
        ([loop("int32 y", "int32(0)", COUNT, DOUBLE)], "block 'c' must have 1 parameters"),
    ],
)  # fmt: skip
def test_errors(lines, message):
    inputs = {"x": KIND, "z": KIND, "p": "bool", "n": "int32"}
    with pytest.raises(MilVerifyError, match=message):
        compiled(inputs, lines, ["y"])
