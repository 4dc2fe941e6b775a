"""What the planner may do must not change a bit: views, fusion, writing in place, threads."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mil_text
import pyane
from mil_text import operation, tensor_type

UNARY = ["abs", "exp", "relu", "sigmoid", "silu", "square", "tanh", "softsign", "floor"]
BINARY = ["add", "sub", "mul", "maximum", "minimum", "real_div"]
DTYPES = [np.float16, np.float32]


@dataclass
class Writer:
    """A program under construction: every value with its shape and dtype."""

    lines: list[str] = field(default_factory=list)
    values: list[tuple[str, tuple[int, ...], type]] = field(default_factory=list)

    def add(self, op: str, shape: tuple[int, ...], dtype: type, /, **arguments: object) -> None:
        name = f"v{len(self.lines)}"
        self.lines.append(operation(op, name, tensor_type(dtype, shape), arguments))
        self.values.append((name, shape, dtype))


def ints(values: object) -> np.ndarray:
    return np.array(values, np.int32)


def grow(draw: st.DrawFn, writer: Writer) -> None:
    """One more operation on values that exist."""
    name, shape, dtype = draw(st.sampled_from(writer.values))
    x = f"%{name}"
    rank = len(shape)
    kind = draw(
        st.sampled_from(
            ["unary"] * 3 + ["binary"] * 4 + ["scalar", "transpose", "reshape", "slice", "split",
             "concat", "reduce", "softmax", "cast", "expand", "select", "matmul"]
        )
    )  # fmt: skip
    axis = draw(st.integers(0, rank - 1))
    if kind == "unary":
        writer.add(draw(st.sampled_from(UNARY)), shape, dtype, x=x)
    elif kind == "scalar":
        value = dtype(draw(st.sampled_from([0.5, -1.25, 3.0])))
        writer.add(draw(st.sampled_from(BINARY)), shape, dtype, x=x, y=value)
    elif kind in {"binary", "select"}:
        others = [
            (other, s)
            for other, s, d in writer.values
            if d == dtype and len(s) == rank and fits(s, shape)
        ]
        other, other_shape = draw(st.sampled_from(others))
        result = tuple(np.broadcast_shapes(shape, other_shape))
        if kind == "binary":
            writer.add(draw(st.sampled_from(BINARY)), result, dtype, x=x, y=f"%{other}")
        else:
            writer.add("greater", result, np.bool_, x=x, y=f"%{other}")
            cond, _, _ = writer.values.pop()
            writer.add("select", result, dtype, cond=f"%{cond}", a=x, b=f"%{other}")
    elif kind == "transpose":
        perm = draw(st.permutations(range(rank)))
        writer.add("transpose", tuple(shape[i] for i in perm), dtype, x=x, perm=ints(perm))
    elif kind == "reshape":
        result = draw(st.sampled_from([(int(np.prod(shape)),), (1, *shape), (*shape[::-1], 1)]))
        if len(result) <= 5:
            writer.add("reshape", result, dtype, x=x, shape=ints(result))
    elif kind == "expand" and rank < 5:
        result = (*shape[:axis], 1, *shape[axis:])
        writer.add("expand_dims", result, dtype, x=x, axes=ints([axis]))
    elif kind == "slice":
        begin = [draw(st.integers(0, n - 1)) for n in shape]
        size = [draw(st.integers(1, n - b)) for n, b in zip(shape, begin, strict=True)]
        writer.add("slice_by_size", tuple(size), dtype, x=x, begin=ints(begin), size=ints(size))
    elif kind == "split" and shape[axis] % 2 == 0:
        part = tuple(n // 2 if i == axis else n for i, n in enumerate(shape))
        names = [f"v{len(writer.lines)}a", f"v{len(writer.lines)}b"]
        results = ", ".join(f"{tensor_type(dtype, part)} {part_name}" for part_name in names)
        writer.lines.append(
            f"{results} = split(x = {name}, num_splits = int32(2), axis = int32({axis}))"
            f'[name = string("{names[0]}")];'
        )
        writer.values += [(part_name, part, dtype) for part_name in names]
    elif kind == "concat":
        same = [n for n, s, d in writer.values if d == dtype and s == shape]
        parts = draw(st.lists(st.sampled_from(same), min_size=1, max_size=3))
        result = tuple(n * len(parts) if i == axis else n for i, n in enumerate(shape))
        if np.prod(result) < 20000:
            values = tuple(f"%{part}" for part in parts)
            writer.add("concat", result, dtype, values=values, axis=axis)
    elif kind == "reduce":
        result = tuple(1 if i == axis else n for i, n in enumerate(shape))
        op = draw(st.sampled_from(["reduce_sum", "reduce_max", "reduce_mean"]))
        writer.add(op, result, dtype, x=x, axes=ints([axis]), keep_dims=True)
    elif kind == "softmax":
        writer.add("softmax", shape, dtype, x=x, axis=axis)
    elif kind == "matmul" and rank >= 2:
        result = (*shape[:-1], shape[-2])
        writer.add("matmul", result, dtype, x=x, y=x, transpose_y=True)
    elif kind == "cast":
        target = np.float32 if dtype == np.float16 else np.float16
        writer.add("cast", shape, target, x=x, dtype=mil_text.NAMES[np.dtype(target).name])


def fits(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(x in {1, y} or y == 1 for x, y in zip(a, b, strict=True))


@st.composite
def programs(draw: st.DrawFn) -> tuple[str, dict[str, tuple[tuple[int, ...], type]]]:
    dims = st.sampled_from([1, 2, 3, 4, 17, 33])
    shape = tuple(draw(st.lists(dims, min_size=1, max_size=4)))
    while np.prod(shape) > 5000:
        shape = shape[1:]
    writer = Writer()
    for name, dtype in (("a", np.float16), ("b", np.float16), ("c", np.float32)):
        writer.values.append((name, shape, dtype))
    inputs = {name: (s, d) for name, s, d in writer.values}
    for _ in range(draw(st.integers(1, 14))):
        grow(draw, writer)
    made = [name for name, _, _ in writer.values if name not in inputs]
    # Some of the values, the last among them, and at times an input as it is.
    outputs = {made[-1]} if made else {"a"}
    outputs |= set(draw(st.lists(st.sampled_from([*made, "b"]), max_size=3)))
    types = {name: tensor_type(d, s) for name, (s, d) in inputs.items()}
    return mil_text.program(types, writer.lines, sorted(outputs)), inputs


def compile_both(text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[pyane.Kernel, pyane.Kernel]:
    device = pyane.device("emulator")
    monkeypatch.delenv("PYANE_EMULATOR_PLAIN", raising=False)
    planned = device.compile(text)
    monkeypatch.setenv("PYANE_EMULATOR_PLAIN", "1")
    plain = device.compile(text)
    monkeypatch.delenv("PYANE_EMULATOR_PLAIN")
    return planned, plain


def run(kernel: pyane.Kernel, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    for name, array in arrays.items():
        kernel.inputs[name][...] = array
    kernel.evaluate()
    return {name: array.copy() for name, array in kernel.outputs.items()}


def assert_same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name, array in a.items():
        # NaNs may differ in sign and payload: x86 keeps that of the first operand.
        np.testing.assert_array_equal(array, b[name], err_msg=name)
        known = ~np.isnan(array)
        np.testing.assert_array_equal(np.signbit(array[known]), np.signbit(b[name][known]))


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(case=programs(), seed=st.integers(0, 2**32 - 1))
def test_planned_is_plain_bit_for_bit(case, seed, monkeypatch):
    text, inputs = case
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore"):
        arrays = {name: (rng.normal(size=s) * 4).astype(d) for name, (s, d) in inputs.items()}
    planned, plain = compile_both(text, monkeypatch)
    assert_same_bits(run(planned, arrays), run(plain, arrays))


# Chains with names, so that a failure says more than a generated program does.

F16 = np.float16


def rmsnorm_lines(c: int, s: int, result: str = "y") -> list[str]:
    full, row = tensor_type(F16, (1, c, 1, s)), tensor_type(F16, (1, 1, 1, s))
    return [
        operation("mul", "sq", full, {"x": "%x", "y": "%x"}),
        operation("reduce_sum", "ss", row, {"x": "%sq", "axes": ints([1]), "keep_dims": True}),
        operation("mul", "mean", row, {"x": "%ss", "y": F16(1 / c)}),
        operation("add", "shifted", row, {"x": "%mean", "y": F16(1e-5)}),
        operation("pow", "r", row, {"x": "%shifted", "y": F16(-0.5)}),
        operation("mul", "xr", full, {"x": "%x", "y": "%r"}),
        operation("mul", result, full, {"x": "%xr", "y": "%w"}),
    ]


def attention(heads: int, s: int, d: int) -> str:
    """Transposes that meet reshapes, a split, and a concat of everything."""
    c = heads * d
    qkv = tensor_type(F16, (1, 3 * c, 1, s))
    full, split = tensor_type(F16, (1, c, 1, s)), tensor_type(F16, (1, heads, d, s))
    scores, values = tensor_type(F16, (1, heads, s, s)), tensor_type(F16, (1, heads, s, d))
    perm = {"perm": ints([0, 1, 3, 2])}
    results = ", ".join(f"{full} {name}" for name in "qkv")
    arguments = 'x = x, num_splits = int32(3), axis = int32(1))[name = string("split")'
    lines = [f"{results} = split({arguments}];"]
    for name in "qkv":
        lines += [
            operation(
                "reshape", f"{name}r", split, {"x": f"%{name}", "shape": ints([1, heads, d, s])}
            ),
            operation("transpose", f"{name}t", values, {"x": f"%{name}r"} | perm),
        ]
    lines += [
        operation("matmul", "qk", scores, {"x": "%qt", "y": "%kt", "transpose_y": True}),
        operation("mul", "scaled", scores, {"x": "%qk", "y": F16(0.25)}),
        operation("softmax", "p", scores, {"x": "%scaled", "axis": -1}),
        operation("matmul", "pv", values, {"x": "%p", "y": "%vt"}),
        operation("transpose", "back", split, {"x": "%pv"} | perm),
        operation("reshape", "o", full, {"x": "%back", "shape": ints([1, c, 1, s])}),
        operation(
            "concat",
            "y",
            tensor_type(F16, (1, 3 * c, 1, s)),
            {"values": ("%o", "%q", "%o"), "axis": 1},
        ),
    ]
    return mil_text.program({"x": qkv}, lines, ["y"])


@pytest.mark.parametrize(("c", "s"), [(1, 1), (64, 256), (67, 33), (172, 31)])
def test_rmsnorm(c, s, rng, monkeypatch):
    inputs = {"x": tensor_type(F16, (1, c, 1, s)), "w": tensor_type(F16, (1, c, 1, 1))}
    planned, plain = compile_both(mil_text.program(inputs, rmsnorm_lines(c, s), ["y"]), monkeypatch)
    arrays = {
        "x": rng.normal(size=(1, c, 1, s)).astype(F16),
        "w": rng.normal(size=(1, c, 1, 1)).astype(F16),
    }
    assert_same_bits(run(planned, arrays), run(plain, arrays))


@pytest.mark.parametrize(("heads", "s", "d"), [(1, 1, 1), (8, 64, 8), (3, 33, 17)])
def test_attention(heads, s, d, rng, monkeypatch):
    planned, plain = compile_both(attention(heads, s, d), monkeypatch)
    arrays = {"x": rng.normal(size=(1, 3 * heads * d, 1, s)).astype(F16)}
    assert_same_bits(run(planned, arrays), run(plain, arrays))


@pytest.mark.usefixtures("one_thread_after")
@pytest.mark.parametrize("text", ["attention", "rmsnorm", "wide"])
def test_the_number_of_threads_changes_no_bit(text, rng, emulator):
    c, s = 384, 256
    if text == "attention":
        source = attention(6, 128, 64)
    elif text == "rmsnorm":
        inputs = {"x": tensor_type(F16, (1, c, 1, s)), "w": tensor_type(F16, (1, c, 1, 1))}
        source = mil_text.program(inputs, rmsnorm_lines(c, s), ["y"])
    else:  # One long row: reductions, softmax and transposes of many chunks.
        wide, full = tensor_type(F16, (3, 70001)), tensor_type(F16, (70001, 3))
        lines = [
            operation("softmax", "p", wide, {"x": "%x", "axis": 1}),
            operation("exp", "e", wide, {"x": "%x"}),
            operation("mul", "m", wide, {"x": "%p", "y": "%e"}),
            operation("transpose", "t", full, {"x": "%m", "perm": ints([1, 0])}),
            operation("reduce_sum", "r", tensor_type(F16, (1, 3)), {"x": "%t", "axes": ints([0]), "keep_dims": True}),
        ]  # fmt: skip
        source = mil_text.program({"x": wide}, lines, ["t", "r"])
    kernel = emulator.compile(source)
    arrays = {
        name: rng.normal(size=spec.shape).astype(spec.dtype)
        for name, spec in kernel.input_specs.items()
    }
    results = []
    for n in (1, 2, 3, 4):
        pyane.set_num_threads(n)
        results.append(run(kernel, arrays))
    for other in results[1:]:
        assert_same_bits(results[0], other)


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512", "neon"])
def test_elementwise_bits_are_the_same_on_every_instruction_set(isa, rng, emulator):
    base = pyane._core.base
    best = base.isa()
    lines = []
    for op in ["exp", "tanh", "sigmoid", "silu", "erf", "gelu", "softplus", "exp2", "log", "rsqrt"]:
        for dtype in DTYPES:
            kind = tensor_type(dtype, (1000,))
            lines.append(operation(op, f"{op}_{dtype.__name__}", kind, {"x": f"%{dtype.__name__}"}))
    inputs = {dtype.__name__: tensor_type(dtype, (1000,)) for dtype in DTYPES}
    text = mil_text.program(inputs, lines, [line.split(" = ")[0].split()[-1] for line in lines])
    arrays = {dtype.__name__: (rng.normal(size=1000) * 8).astype(dtype) for dtype in DTYPES}
    expected = run(emulator.compile(text), arrays)
    try:
        base.set_isa(isa)
    except pyane.Error:
        pytest.skip(f"this CPU has no {isa}")
    try:
        assert_same_bits(run(emulator.compile(text), arrays), expected)
    finally:
        base.set_isa(best)


def test_what_no_output_needs_is_not_evaluated(emulator):
    """Also when it would be an error."""
    lines = [
        operation("gather", "bad", tensor_type(F16, (1,)), {"x": "%x", "indices": ints([9])}),
        operation("relu", "y", tensor_type(F16, (3,)), {"x": "%x"}),
    ]
    text = mil_text.program({"x": tensor_type(F16, (3,))}, lines, ["y"])
    np.testing.assert_array_equal(emulator.compile(text)(np.array([-1, 0, 1])), [0, 0, 1])


def test_constants_are_evaluated_at_compile_time(monkeypatch):
    constant = np.arange(6, dtype=F16).reshape(2, 3)
    lines = [
        f"{tensor_type(F16, (2, 3))} c = const()[name = string(\"c\"), val = {mil_text.literal(constant)}];",
        operation("exp", "e", tensor_type(F16, (2, 3)), {"x": "%c"}),
        operation("transpose", "t", tensor_type(F16, (3, 2)), {"x": "%e", "perm": ints([1, 0])}),
        operation("reduce_sum", "s", tensor_type(F16, (3, 1)), {"x": "%t", "axes": ints([1]), "keep_dims": True}),
        operation("add", "y", tensor_type(F16, (3, 2)), {"x": "%x", "y": "%s"}),
    ]  # fmt: skip
    text = mil_text.program({"x": tensor_type(F16, (3, 2))}, lines, ["y", "t"])
    planned, plain = compile_both(text, monkeypatch)
    arrays = {"x": np.ones((3, 2), F16)}
    assert_same_bits(run(planned, arrays), run(plain, arrays))
    expected = np.exp(constant.astype(np.float32)).astype(F16).T
    np.testing.assert_array_equal(run(planned, arrays)["t"], expected)


def test_an_input_and_a_constant_as_outputs(emulator):
    constant = np.array([1.5, -2], F16)
    lines = [
        f'{tensor_type(F16, (2,))} c = const()[name = string("c"), val = {mil_text.literal(constant)}];'
    ]
    text = mil_text.program({"x": tensor_type(F16, (2,))}, lines, ["x", "c"])
    x = np.array([3, 4], F16)
    result = emulator.compile(text)(x)
    np.testing.assert_array_equal(result["x"], x)
    np.testing.assert_array_equal(result["c"], constant)


def test_a_long_chain_of_views(emulator):
    """Each value is placed inside the next one; that must not take a level of the stack each."""
    n = 30_000
    kind = "tensor<fp16, [2, 3]>"
    lines = [f'{kind} v0 = relu(x = x)[name = string("v0")];']
    lines += [
        f"{kind} v{i} = reshape(x = v{i - 1}, shape = tensor<int32, [2]>([2, 3]))"
        f'[name = string("v{i}")];'
        for i in range(1, n)
    ]
    kernel = emulator.compile(mil_text.program({"x": kind}, lines, [f"v{n - 1}"]))
    x = np.arange(-2, 4).reshape(2, 3)
    np.testing.assert_array_equal(kernel(x), np.maximum(x, 0))
