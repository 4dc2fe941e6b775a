"""Errors that chips make in silence, reproduced with faithful=True."""

from __future__ import annotations

import numpy as np
import pytest

import mil_text
import pyane

pytestmark = pytest.mark.emulator


def device(chip, **options):
    """A device of its own: poisoning one must not touch the others."""
    emulation = pyane.device(chip=chip, faithful=True, **options).emulation
    return pyane.Device(emulation.create(), emulation)


def chain(arrays, *operations):
    """Operations (op, result, shape, arguments) one after the other; the last is the output."""
    lines = [
        mil_text.operation(op, name, mil_text.tensor_type("float16", dims), arguments)
        for op, name, dims, arguments in operations
    ]
    inputs = {name: mil_text.tensor_type(a.dtype, a.shape) for name, a in arrays.items()}
    return mil_text.program(inputs, lines, [operations[-1][1]])


@pytest.mark.parametrize("op", ["floor", "ceil", "round"])
@pytest.mark.parametrize("side", ["x", "y"])
@pytest.mark.parametrize("shape", [(), (1, 1)])
def test_m5_drops_a_scalar_after_rounding(op, side, shape, rng):
    x = (rng.normal(size=(3, 5)) * 9).astype(np.float16)
    scale = np.full(shape, 4, np.float16)
    other = "y" if side == "x" else "x"
    text = chain(
        {"x": x},
        (op, "r", x.shape, {"x": "%x"}),
        ("mul", "result", x.shape, {side: "%r", other: scale}),
    )
    rounded = {"floor": np.floor, "ceil": np.ceil, "round": np.rint}[op](x)
    np.testing.assert_array_equal(device("m5").compile(text)(x=x), rounded)
    np.testing.assert_array_equal(device("m4").compile(text)(x=x), rounded * 4)


def test_m5_keeps_other_factors_and_sums(rng):
    x = (rng.normal(size=(3, 5)) * 9).astype(np.float16)
    full = np.full(x.shape, 4, np.float16)
    for op, operand, expected in (
        ("mul", full, np.floor(x) * 4),
        ("add", np.float16(4), np.floor(x) + 4),
    ):
        text = chain(
            {"x": x},
            ("floor", "r", x.shape, {"x": "%x"}),
            (op, "result", x.shape, {"x": "%r", "y": operand}),
        )
        np.testing.assert_array_equal(device("m5").compile(text)(x=x), expected)


def sliced_concat(x, begins, length, by_size):
    operations = []
    for i, begin in enumerate(begins):
        arguments = {"x": "%x", "begin": [0, begin]}
        arguments |= {"size": [2, length]} if by_size else {"end": [2, begin + length]}
        op = "slice_by_size" if by_size else "slice_by_index"
        operations.append((op, f"s{i}", (2, length), arguments))
    values = tuple(f"%s{i}" for i in range(len(begins)))
    arguments = {"values": values, "axis": 0, "interleave": False}
    operations.append(("concat", "result", (2 * len(begins), length), arguments))
    return chain({"x": x}, *operations)


@pytest.mark.parametrize("by_size", [False, True])
@pytest.mark.parametrize(
    ("chip", "begins", "read"),
    [
        ("m2", [0, 3, 1], [0, 3, 3]),
        ("m1", [2, 5, 1], [2, 2, 2]),
        ("m1", [0, 0, 4], [0, 0, 4]),  # one offset slice is right
        ("m4", [2, 5, 1], [2, 5, 1]),
    ],
)
def test_concat_of_width_slices(chip, begins, read, by_size):
    x = np.arange(20, dtype=np.float16).reshape(2, 10)
    text = sliced_concat(x, begins, 3, by_size)
    expected = np.concatenate([x[:, begin : begin + 3] for begin in read])
    np.testing.assert_array_equal(device(chip).compile(text)(x=x), expected)


def test_m3_ignores_the_weight_of_a_convolution_given_at_run_time(rng):
    x = rng.normal(size=(1, 3, 4, 4)).astype(np.float16)
    weight = rng.normal(size=(2, 3, 1, 1)).astype(np.float16)
    bias = np.array([1, -2], np.float16)
    text = mil_text.single("conv", {"x": x, "weight": weight}, "float16", (1, 2, 4, 4), bias=bias)
    result = device("m3").compile(text)(x=x, weight=weight)
    np.testing.assert_array_equal(result, np.broadcast_to(bias[:, None, None], (1, 2, 4, 4)))
    supported = device("m4").compile(text)(x=x, weight=weight)
    assert (supported != result).all()
    constant = mil_text.single("conv", {"x": x}, "float16", (1, 2, 4, 4), weight=weight, bias=bias)
    np.testing.assert_array_equal(device("m3").compile(constant)(x=x), supported)


def test_m4_attends_to_what_the_mask_hides(rng):
    q, k, v = (rng.normal(size=(1, 1, 4, 8)).astype(np.float16) for _ in range(3))
    mask = np.array([[True, True, False, False]] * 4)
    operands = {"query": q, "key": k, "value": v}
    op = "scaled_dot_product_attention"
    plain = mil_text.single(op, operands, "float16", q.shape)
    masked = mil_text.single(op, operands, "float16", q.shape, attn_mask=mask)
    ignored = device("m4").compile(masked)(**operands)
    np.testing.assert_array_equal(ignored, device("m4").compile(plain)(**operands))
    assert (device("m5").compile(masked)(**operands) != ignored).any()
    honest = pyane.device(chip="m4").compile(masked)(**operands)
    assert (honest != ignored).any()


def test_m3_is_poisoned_by_tile():
    x = np.ones((1, 2), np.float16)
    harmless = mil_text.single("relu", {"x": x}, "float16", (1, 2))
    tile = mil_text.single("tile", {"x": x}, "float16", (1, 4), reps=[1, 2])
    m3 = device("m3")
    before = m3.compile(harmless)
    before(x=x)
    poisoning = m3.compile(tile)
    before(x=x)  # Compiling is not yet evaluating.
    np.testing.assert_array_equal(poisoning(x=x), np.ones((1, 4)))
    for kernel in (before, poisoning, m3.compile(harmless)):
        with pytest.raises(pyane.EvaluateError, match="tile") as info:
            kernel(x=x)
        assert info.value.status == 0x1D
    m1 = device("m1")
    m1.compile(tile)(x=x)
    m1.compile(tile)(x=x)


def test_m1_wants_surfaces_in_order_of_size():
    x = np.ones((1, 2), np.float16)
    kernel = device("m1").compile(mil_text.single("add", {"x": x, "y": x}, "float16", (1, 2)))

    def total(x_bytes, y_bytes):
        inputs = {"x": pyane.Surface(x_bytes), "y": pyane.Surface(y_bytes)}
        output = pyane.Surface(65536)
        for surface in inputs.values():
            surface.array((1, 2), np.float16)[...] = 1
        kernel.bind(inputs, {"result": output}).evaluate()
        return output.array((1, 2), np.float16).tolist()

    assert total(65536, 65536) == [[2, 2]]
    assert total(65536, 131072) == [[2, 2]]
    assert total(131072, 65536) == [[0, 0]]


def test_int8_weights_bound_their_activations():
    """With hardware arithmetic (ANEForge: on M1 Max, M2 Pro, M5 Pro)."""
    x = np.array([[4094, 0], [4096, 0], [0, -4096], [0, 1]], np.float16)
    quantized = np.array([[2, 0], [0, 1]], np.int8)
    weight = mil_text.tensor_type("float16", (2, 2))
    lines = [
        mil_text.operation(
            "constexpr_affine_dequantize",
            "w",
            weight,
            {
                "quantized_data": quantized,
                "zero_point": np.int8(0),
                "scale": np.float16(0.5),
                "axis": 0,
            },
        ),
        mil_text.operation(
            "matmul", "result", mil_text.tensor_type("float16", (4, 2)), {"x": "%x", "y": "%w"}
        ),
    ]
    text = mil_text.program({"x": mil_text.tensor_type("float16", x.shape)}, lines, ["result"])
    result = pyane.device(chip="m5", numerics="hardware").compile(text)(x=x)
    # 0 * inf is 0.
    np.testing.assert_array_equal(result, [[4094, 0], [np.inf, 0], [0, -np.inf], [0, 0.5]])
    ieee = pyane.device("emulator").compile(text)(x=x)
    np.testing.assert_array_equal(ieee, [[4094, 0], [4096, 0], [0, -2048], [0, 0.5]])
