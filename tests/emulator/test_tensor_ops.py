"""Operations that move elements: exact for every element type."""

from __future__ import annotations

import numpy as np
import pytest

import mil_text
import pyane
import reference_ops

DTYPES = [np.float16, np.float32, np.int32, np.int8, np.uint16, np.bool_]


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def numbers(rng: np.random.Generator, shape, dtype) -> np.ndarray:
    return rng.integers(0, 2 if dtype == np.bool_ else 100, shape).astype(dtype)


MOVES = {
    "expand_dims": ({"axes": ints(0, -1)}, lambda x: x[None, ..., None]),
    "flatten2d": ({"axis": 2}, lambda x: x.reshape(x.shape[0] * x.shape[1], -1)),
    "identity": ({}, lambda x: x),
    "reshape": ({"shape": ints(5, -1, 2)}, lambda x: x.reshape(5, -1, 2)),
    "reverse": ({"axes": ints(1, -1)}, lambda x: x[:, ::-1, :, ::-1]),
    "reverse_all": ({}, lambda x: x[::-1, ::-1, ::-1, ::-1]),
    "slice_by_size": (
        {"begin": ints(1, 0, 2, 3), "size": ints(1, -1, 3, 4)},
        lambda x: x[1:2, :, 2:5, 3:7],
    ),
    "sliding_windows": (
        {"axis": 2, "size": 3, "stride": 2},
        lambda x: np.moveaxis(
            np.lib.stride_tricks.sliding_window_view(x, 3, axis=2)[:, :, ::2], -1, 3
        ),
    ),
    "tile": ({"reps": ints(1, 2, 3, 1)}, lambda x: np.tile(x, (1, 2, 3, 1))),
    "transpose": ({"perm": ints(2, 0, -1, 1)}, lambda x: x.transpose(2, 0, 3, 1)),
    "transpose_inner": ({"perm": ints(0, 1, 3, 2)}, lambda x: x.transpose(0, 1, 3, 2)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(MOVES))
def test_move(evaluate, rng, name, dtype):
    x = numbers(rng, (2, 3, 5, 7) if name != "reshape" else (2, 3, 5, 3), dtype)
    attributes, expected = MOVES[name]
    y = expected(x)
    op = {"reverse_all": "reverse", "transpose_inner": "transpose"}.get(name, name)
    np.testing.assert_array_equal(evaluate(op, {"x": x}, y.shape, dtype, **attributes), y)


@pytest.mark.parametrize("shape", [(1, 1), (17, 33), (64, 300), (129, 16)], ids=str)
@pytest.mark.parametrize("dtype", [np.int8, np.float16, np.float32])
def test_transposing_copy(evaluate, rng, shape, dtype):
    x = numbers(rng, (2, *shape), dtype)
    result = evaluate("transpose", {"x": x}, (2, *shape[::-1]), dtype, perm=ints(0, 2, 1))
    np.testing.assert_array_equal(result, x.transpose(0, 2, 1))


@pytest.mark.parametrize(
    ("axes", "shape"), [(None, (3, 5)), (ints(0), (3, 1, 5)), (ints(-2, 0), (3, 5))], ids=str
)
def test_squeeze(evaluate, rng, axes, shape):
    x = numbers(rng, (1, 3, 1, 5), np.float16)
    given = {} if axes is None else {"axes": axes}
    result = evaluate("squeeze", {"x": x}, shape, np.float16, **given)
    np.testing.assert_array_equal(result, x.reshape(shape))


SLICES = [
    ({"begin": ints(0, 1, 2), "end": ints(2, 3, 5)}, np.s_[0:2, 1:3, 2:5]),
    ({"begin": ints(0, -2, 1), "end": ints(2, 3, -1), "stride": ints(1, 1, 2)}, np.s_[0:2, -2:3, 1:-1:2]),
    (
        {"begin": ints(0, 2, 6), "end": ints(2, 0, 0), "stride": ints(1, -1, -2)},
        np.s_[0:2, 2:0:-1, 6:0:-2],
    ),
    (
        {
            "begin": ints(9, 1, 9), "end": ints(9, 9, 9), "begin_mask": np.array([True, False, True]),
            "end_mask": np.array([True, True, True]),
        },
        np.s_[:, 1:, :],
    ),
    (
        {"begin": ints(1, 0, -1), "end": ints(2, 3, 0), "squeeze_mask": np.array([True, False, True])},
        np.s_[1, :, -1],
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(SLICES)))
def test_slice_by_index(evaluate, rng, case):
    x = numbers(rng, (2, 3, 7), np.float16)
    attributes, index = SLICES[case]
    expected = x[index]
    result = evaluate("slice_by_index", {"x": x}, expected.shape, np.float16, **attributes)
    np.testing.assert_array_equal(result, expected)


def test_slice_that_begins_where_the_program_says(emulator, rng):
    x = numbers(rng, (4, 9), np.float16)
    text = mil_text.single(
        "slice_by_size", {"x": x, "begin": ints(0, 0)}, np.float16, (2, 5), size=ints(2, 5)
    )
    kernel = emulator.compile(text)
    for begin in [(0, 0), (2, 4), (1, 3), (-3, -6)]:
        i, j = (b % n for b, n in zip(begin, x.shape, strict=True))
        result = kernel(x=x, begin=np.array(begin))
        np.testing.assert_array_equal(result, x[i : i + 2, j : j + 5])
    with pytest.raises(pyane.EvaluateError, match=r"begin\[1\] must lie in \[0, 4\], got 5"):
        kernel(x=x, begin=np.array([0, 5]))
    with pytest.raises(pyane.EvaluateError, match=r"got -5"):
        kernel(x=x, begin=np.array([-5, 0]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("axis", "sizes"), [(0, (1, 2)), (1, (3, 1, 2)), (-1, (2, 2, 1))], ids=str)
def test_split(emulator, rng, axis, sizes, dtype):
    shape = [3, 6, 5]
    shape[axis] = sum(sizes)
    x = numbers(rng, shape, dtype)
    parts = np.split(x, np.cumsum(sizes)[:-1], axis=axis)
    names = [f"y{i}" for i in range(len(parts))]
    types = [mil_text.tensor_type(dtype, part.shape) for part in parts]
    results = ", ".join(f"{kind} {name}" for kind, name in zip(types, names, strict=True))
    line = (
        f"{results} = split(x = x, axis = int32({axis}), "
        f'split_sizes = {mil_text.literal(ints(*sizes))})[name = string("s")];'
    )
    text = mil_text.program({"x": mil_text.tensor_type(dtype, x.shape)}, [line], names)
    result = emulator.compile(text)(x)
    for name, part in zip(names, parts, strict=True):
        np.testing.assert_array_equal(result[name], part)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("op", ["concat", "stack", "interleave"])
def test_collect(emulator, rng, op, axis, dtype):
    shapes = [(2, 3, 5)] * 3
    if op == "concat":
        shapes = [
            tuple(n + (i if k == axis % 3 else 0) for k, n in enumerate((2, 3, 5)))
            for i in range(3)
        ]
    arrays = {f"x{i}": numbers(rng, shape, dtype) for i, shape in enumerate(shapes)}
    values = list(arrays.values())
    given = {"values": tuple(f"%{name}" for name in arrays), "axis": axis}
    if op == "interleave":
        expected = np.stack(values, axis=axis % 3 + 1).reshape(
            [n * (3 if k == axis % 3 else 1) for k, n in enumerate((2, 3, 5))]
        )
        given["interleave"] = True
    else:
        expected = (np.stack if op == "stack" else np.concatenate)(values, axis=axis)
    line = mil_text.operation(
        "stack" if op == "stack" else "concat",
        "y",
        mil_text.tensor_type(dtype, expected.shape),
        given,
    )
    inputs = {name: mil_text.tensor_type(dtype, x.shape) for name, x in arrays.items()}
    result = emulator.compile(mil_text.program(inputs, [line], ["y"]))(**arrays)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("pad", [(1, 2), (0, 0, 2, 1), (2, 0, 1, 3), (1, 1, 0, 2, 3, 0)], ids=str)
def test_pad(evaluate, rng, pad, mode, dtype):
    x = numbers(rng, (2, 3, 5), dtype)
    x = np.concatenate([x, x + 1], axis=1)
    widths = [(0, 0)] * (3 - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)]
    widths = [(min(a, n - 1), min(b, n - 1)) for (a, b), n in zip(widths, x.shape, strict=True)]
    expected = np.pad(
        x,
        widths,
        **({"mode": "constant", "constant_values": -2.5} if mode == "constant" else
           {"mode": "reflect" if mode == "reflect" else "edge"}),
    )  # fmt: skip
    flat = ints(*(w for pair in widths[3 - len(pad) // 2 :] for w in pair))
    result = evaluate(
        "pad", {"x": x}, expected.shape, dtype, pad=flat, mode=mode, constant_val=dtype(-2.5)
    )
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("value", [np.float16(1.5), np.float32(-2), np.int32(-7), np.bool_(True)])
def test_fill(emulator, value):
    lines = [
        mil_text.operation(
            "fill", "y", mil_text.tensor_type(value.dtype, (2, 33)),
            {"shape": ints(2, 33), "value": value},
        ),
        mil_text.operation(
            "fill_like", "z", mil_text.tensor_type(value.dtype, (5,)), {"ref_tensor": "%x", "value": value}
        ),
    ]  # fmt: skip
    text = mil_text.program({"x": mil_text.tensor_type(np.float16, (5,))}, lines, ["y", "z"])
    result = emulator.compile(text)(np.zeros(5, np.float16))
    np.testing.assert_array_equal(result["y"], np.full((2, 33), value))
    np.testing.assert_array_equal(result["z"], np.full(5, value))


@pytest.mark.parametrize(
    ("op", "attribute", "shape"),
    [
        ("depth_to_space", "block_size", (2, 12, 3, 5)),
        ("pixel_shuffle", "upscale_factor", (2, 12, 3, 5)),
        ("space_to_depth", "block_size", (2, 3, 4, 6)),
        ("pixel_unshuffle", "downscale_factor", (2, 3, 4, 6)),
    ],
)
def test_blocks(evaluate, rng, op, attribute, shape):
    x = numbers(rng, shape, np.float16)
    expected = getattr(reference_ops, op)(x, 2)
    result = evaluate(op, {"x": x}, expected.shape, np.float16, **{attribute: 2})
    np.testing.assert_array_equal(result, expected)
