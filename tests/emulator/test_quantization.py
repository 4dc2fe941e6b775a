"""quantize, dequantize and compressed weights, against NumPy from the formulas and coremltools."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import backend
import mil_text
from pyane.errors import MilVerifyError
from tolerance import assert_within, rounding_bound


def const(dtype: str, values: np.ndarray) -> str:
    """An inline constant of any element type, sub-byte ones included."""
    shape = ", ".join(map(str, values.shape))
    return f"%tensor<{dtype}, [{shape}]>({mil_text.nested(np.asarray(values))})"


def run_constexpr(op: str, shape: tuple[int, ...], dtype: str, /, **inputs: object) -> np.ndarray:
    """The dense weights, plus a run-time zero."""
    kind = mil_text.tensor_type(dtype, shape)
    lines = [
        mil_text.operation(op, "w", kind, inputs),
        mil_text.operation("add", "y", kind, {"x": "%w", "y": "%x"}),
    ]
    text = mil_text.program({"x": kind}, lines, ["y"])
    return backend.device().compile(text)(np.zeros(shape, dtype))


def broadcast_to_axis(values: np.ndarray, rank: int, axis: int) -> np.ndarray:
    shape = [1] * rank
    if values.ndim == 1:
        shape[axis] = values.size
    return values.reshape(shape).astype(np.float64)


PER_AXIS = [((7,), 0), ((3, 5), 0), ((3, 5), -1), ((2, 17, 1, 3), 1), ((1, 2, 3, 33), 3)]


@pytest.mark.parametrize("target", ["int8", "uint8"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("shape", "axis"), PER_AXIS)
@pytest.mark.parametrize("is_vector", [False, True])
def test_quantize(evaluate, rng, shape, axis, dtype, target, is_vector):
    info = np.iinfo(target)
    n = shape[axis] if is_vector else 1
    scale = np.exp2(rng.integers(-6, -2, n)).astype(dtype)  # Exact quotients, ties included.
    x = (rng.integers(-700, 700, shape) / 4).astype(dtype) / 16
    zero_point = rng.integers(info.min // 2, info.max // 2, n).astype(target)
    parameters = {"scale": scale, "zero_point": zero_point, "axis": axis}
    if not is_vector:
        parameters = {"scale": scale[0], "zero_point": zero_point[0]}
    got = evaluate("quantize", {"input": x}, shape, target, output_dtype=target, **parameters)
    wide_scale = broadcast_to_axis(scale if is_vector else scale[0], len(shape), axis)
    wide_zero = broadcast_to_axis(zero_point if is_vector else zero_point[0], len(shape), axis)
    exact = np.clip(np.round(x.astype(np.float64) / wide_scale) + wide_zero, info.min, info.max)
    np.testing.assert_array_equal(got, exact.astype(target))


@pytest.mark.parametrize("source", ["int8", "uint8"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("shape", "axis"), PER_AXIS)
@pytest.mark.parametrize("is_vector", [False, True])
def test_dequantize(evaluate, rng, shape, axis, dtype, source, is_vector):
    info = np.iinfo(source)
    x = rng.integers(info.min, info.max + 1, shape).astype(source)
    n = shape[axis] if is_vector else 1
    scale = rng.uniform(0.01, 0.1, n).astype(dtype)
    zero_point = rng.integers(info.min, info.max, n).astype(source)
    parameters = {"scale": scale, "zero_point": zero_point, "axis": axis}
    if not is_vector:
        parameters = {"scale": scale[0], "zero_point": zero_point[0]}
    got = evaluate("dequantize", {"input": x}, shape, dtype, **parameters)
    wide_scale = broadcast_to_axis(scale if is_vector else scale[0], len(shape), axis)
    wide_zero = broadcast_to_axis(zero_point if is_vector else zero_point[0], len(shape), axis)
    exact = wide_scale * (x.astype(np.float64) - wide_zero)
    assert_within(got, exact, rounding_bound(exact, dtype, 0.5))


def test_special_values_saturate(evaluate):
    x = np.array([np.inf, -np.inf, np.nan, 1e4, -1e4, 0.5, 1.5, -0.5], np.float16)
    got = evaluate(
        "quantize",
        {"input": x},
        (8,),
        np.int8,
        scale=np.float16(1),
        zero_point=np.int8(3),
        output_dtype="int8",
    )
    assert got.tolist() == [127, -128, 3, 127, -128, 3, 5, 3]


@pytest.mark.parametrize(("op", "source"), [("quantize", np.float32), ("dequantize", np.int8)])
def test_as_coremltools_evaluates_it(evaluate, rng, op, source):
    ct = pytest.importorskip("coremltools")
    mb = importlib.import_module("coremltools.converters.mil").Builder
    function = importlib.import_module("coremltools.converters.mil.mil").Function
    x = rng.normal(scale=40, size=(3, 4, 5)).astype(source)
    parameters = {
        "scale": np.array([0.5, 0.25, 2, 0.3], np.float32),
        "zero_point": np.array([-3, 0, 5, 100], np.int8),
        "axis": 1,
    }
    if op == "quantize":
        parameters["output_dtype"] = "int8"
    with function({}, opset_version=ct.target.iOS17):
        result = getattr(mb, op)(input=x, **parameters)
        expected = result.val if result.val is not None else result.op.materialized_val_inference()
    got = evaluate(op, {"input": x}, x.shape, expected.dtype, **parameters)
    np.testing.assert_array_equal(got, expected)


def test_quantized_convolution_is_the_product_of_integers(rng):
    """W8A8: quantize and dequantize around a conv of dequantized weights."""
    x = rng.uniform(-1, 1, (1, 6, 5, 7)).astype(np.float16)
    weight = rng.integers(-128, 128, (4, 6, 3, 3)).astype(np.int8)
    scale, weight_scale = np.float16(2.0**-6), np.exp2(rng.integers(-9, -6, 4)).astype(np.float16)
    kind = "tensor<fp16, [1, 6, 5, 7]>"
    quantized = {"x": "%x", "scale": scale, "output_dtype": "int8"}
    quantized["input"] = quantized.pop("x")
    lines = [
        mil_text.operation("quantize", "q", "tensor<int8, [1, 6, 5, 7]>", quantized),
        mil_text.operation("dequantize", "xq", kind, {"input": "%q", "scale": scale}),
        mil_text.operation(
            "constexpr_blockwise_shift_scale",
            "w",
            "tensor<fp16, [4, 6, 3, 3]>",
            {"data": weight, "scale": weight_scale.reshape(4, 1, 1, 1)},
        ),
        mil_text.operation("conv", "y", "tensor<fp16, [1, 4, 3, 5]>", {"x": "%xq", "weight": "%w"}),
    ]
    got = backend.device().compile(mil_text.program({"x": kind}, lines, ["y"]))(x)
    levels = np.clip(np.round(x.astype(np.float64) / float(scale)), -128, 127)
    windows = np.lib.stride_tricks.sliding_window_view(levels, (3, 3), axis=(2, 3))
    sums = np.einsum("nchwij,ocij->nohw", windows, weight.astype(np.float64))
    exact = sums * float(scale) * weight_scale.astype(np.float64).reshape(1, 4, 1, 1)
    assert_within(got, exact, rounding_bound(exact, np.float16))  # The sums are exact in fp32.


# -- constexpr operations


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("shape", "axis"), [((5, 3), 0), ((5, 3), 1), ((2, 3, 1, 7), -3)])
def test_affine_dequantize(rng, shape, axis, dtype):
    data = rng.integers(0, 256, shape).astype(np.uint8)
    scale = rng.uniform(0.01, 1, shape[axis]).astype(dtype)
    zero_point = rng.integers(0, 256, shape[axis]).astype(np.uint8)
    name = np.dtype(dtype).name
    got = run_constexpr(
        "constexpr_affine_dequantize",
        shape,
        name,
        quantized_data=data,
        scale=scale,
        zero_point=zero_point,
        axis=axis,
    )
    wide = broadcast_to_axis(scale, len(shape), axis)
    exact = wide * (data.astype(np.float64) - broadcast_to_axis(zero_point, len(shape), axis))
    assert_within(got, exact, rounding_bound(exact, dtype, 0.5))


@pytest.mark.parametrize(("data_type", "low", "high"), [("int4", -8, 8), ("uint4", 0, 16)])
@pytest.mark.parametrize(
    ("shape", "blocks"), [((4, 6), (1, 1)), ((4, 6), (4, 2)), ((2, 8, 3), (1, 4, 3))]
)
@pytest.mark.parametrize("has_offset", [False, True])
def test_blockwise_shift_scale(rng, data_type, low, high, shape, blocks, has_offset):
    data = rng.integers(low, high, shape)
    scale = rng.uniform(0.1, 2, blocks).astype(np.float16)
    offset = rng.integers(low, high, blocks)
    inputs = {"data": const(data_type, data), "scale": scale}
    if has_offset:
        inputs["offset"] = const(data_type, offset)
    got = run_constexpr("constexpr_blockwise_shift_scale", shape, "float16", **inputs)
    wide_scale, wide_offset = scale.astype(np.float64), offset * float(has_offset)
    for axis, (n, m) in enumerate(zip(shape, blocks, strict=True)):
        wide_scale = np.repeat(wide_scale, n // m, axis)
        wide_offset = np.repeat(wide_offset, n // m, axis)
    exact = wide_scale * (data - wide_offset)
    assert_within(got, exact, rounding_bound(exact, np.float16, 0.5))


def pack(values: np.ndarray, bits: int) -> np.ndarray:
    """Bit by bit, low bits first: the layout as coremltools' documentation draws it."""
    stream = [int(value) >> bit & 1 for value in values.ravel() for bit in range(bits)]
    stream += [0] * (-len(stream) % 8)
    octets = np.array(stream).reshape(-1, 8)
    return (octets << np.arange(8)).sum(axis=1).astype(np.uint8)


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
@pytest.mark.parametrize("shape", [(5,), (3, 7), (2, 3, 1, 5)])
def test_packed_lookup(rng, bits, shape):
    indices = rng.integers(0, 2**bits, shape)
    table = rng.normal(size=2**bits).astype(np.float16)
    got = run_constexpr(
        "constexpr_lut_to_dense",
        shape,
        "float16",
        indices=pack(indices, bits),
        lut=table,
        shape=const("uint32", np.array(shape)),
    )
    np.testing.assert_array_equal(got, table[indices])


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize(
    ("shape", "groups", "vector", "axis"),
    [
        ((6, 2), (1, 1), 1, None),
        ((6, 2), (2, 1), 1, None),
        ((6, 4), (3, 2), 1, 1),
        ((2, 2, 2), (1, 1, 1), 3, 1),
        ((2, 2, 2), (1, 1, 2), 3, 2),
        ((2, 6, 2), (2, 3, 1), 2, 0),
        ((4, 3), (2, 1), 4, -2),
    ],
)
def test_grouped_lookup(rng, bits, shape, groups, vector, axis):
    indices = rng.integers(0, 2**bits, shape)
    table = rng.normal(size=(*groups, 2**bits, vector)).astype(np.float16)
    inputs = {"indices": const(f"uint{bits}", indices), "lut": table}
    if axis is not None:
        inputs["vector_axis"] = axis
    along = len(shape) - 1 if axis is None else axis % len(shape)
    expected = np.zeros([n * (vector if i == along else 1) for i, n in enumerate(shape)])
    for place in np.ndindex(*expected.shape):
        index = [c // (vector if i == along else 1) for i, c in enumerate(place)]
        group = [c * g // n for c, g, n in zip(index, groups, shape, strict=True)]
        expected[place] = table[(*group, indices[tuple(index)], place[along] % vector)]
    got = run_constexpr("constexpr_lut_to_dense", expected.shape, "float16", **inputs)
    np.testing.assert_array_equal(got, expected.astype(np.float16))


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("shape", [(1,), (3, 7), (2, 3, 1, 5)])
def test_sparse(rng, shape, is_packed):
    mask = rng.integers(0, 2, shape)
    mask.flat[0] = 1
    values = rng.normal(size=mask.sum()).astype(np.float16)
    inputs = {"nonzero_data": values}
    if is_packed:
        inputs |= {"mask": pack(mask, 1), "shape": const("uint32", np.array(shape))}
    else:
        inputs["mask"] = const("uint1", mask)
    got = run_constexpr("constexpr_sparse_to_dense", shape, "float16", **inputs)
    expected = np.zeros(shape, np.float16)
    expected[mask == 1] = values
    np.testing.assert_array_equal(got, expected)


def sparse_chain(
    op: str, kinds: tuple[str, str], shape: tuple[int, ...], /, **inputs: object
) -> str:
    """A sparse-to-sparse operation and what makes its results dense."""
    kind = mil_text.tensor_type("float16", shape)
    arguments = mil_text.operation(op, "values", "T", inputs).partition(" = ")[2]
    lines = [
        f"{kinds[0]} mask, {kinds[1]} values = {arguments}",
        mil_text.operation(
            "constexpr_sparse_to_dense", "w", kind, {"nonzero_data": "%values", "mask": "%mask"}
        ),
        mil_text.operation("add", "y", kind, {"x": "%w", "y": "%x"}),
    ]
    return mil_text.program({"x": kind}, lines, ["y"])


@pytest.mark.parametrize(("vector", "axis"), [(1, None), (2, 0), (3, 1)])
def test_lut_to_sparse(rng, vector, axis):
    mask = np.array([[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 1], [0, 1, 1, 0, 1, 0]])
    indices = rng.integers(0, 4, mask.sum())
    table = rng.normal(size=(3, 2, 4, vector)).astype(np.float16)
    along = 1 if axis is None else axis
    dense = np.zeros_like(mask)
    dense[mask == 1] = indices
    shape = tuple(n * (vector if i == along else 1) for i, n in enumerate(mask.shape))
    expected = np.zeros(shape, np.float16)
    for place in np.ndindex(*shape):
        i, j = (c // (vector if k == along else 1) for k, c in enumerate(place))
        if mask[i, j]:
            expected[place] = table[i, j // 3, dense[i, j], place[along] % vector]
    inputs = {
        "indices_mask": const("uint1", mask),
        "indices_nonzero_data": const("uint2", indices),
        "lut": table,
    }
    if axis is not None:
        inputs["vector_axis"] = axis
    kinds = (
        f"tensor<uint1, [{shape[0]}, {shape[1]}]>",
        f"tensor<fp16, [{indices.size * vector}]>",
    )
    text = sparse_chain("constexpr_lut_to_sparse", kinds, shape, **inputs)
    got = backend.device().compile(text)(np.zeros(shape, np.float16))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("blocks", [(1, 4), (4, 1), (2, 2)])
def test_sparse_blockwise_shift_scale(rng, blocks):
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0]])
    data = rng.integers(-128, 128, mask.sum()).astype(np.int8)
    scale = rng.uniform(0.1, 1, blocks).astype(np.float16)
    offset = rng.integers(-20, 20, blocks).astype(np.int8)
    wide = [np.repeat(np.repeat(v, 4 // blocks[0], 0), 4 // blocks[1], 1) for v in (scale, offset)]
    exact = np.zeros(mask.shape)
    exact[mask == 1] = wide[0].astype(np.float64)[mask == 1] * (data - wide[1][mask == 1] * 1.0)
    text = sparse_chain(
        "constexpr_sparse_blockwise_shift_scale",
        ("tensor<uint1, [4, 4]>", f"tensor<fp16, [{data.size}]>"),
        (4, 4),
        data_mask=const("uint1", mask),
        nonzero_data=data,
        scale=scale,
        offset=offset,
    )
    got = backend.device().compile(text)(np.zeros((4, 4), np.float16))
    assert_within(got, exact, rounding_bound(exact, np.float16, 0.5))


def test_cast(rng):
    values = rng.normal(size=(3, 5)).astype(np.float16)
    got = run_constexpr("constexpr_cast", (3, 5), "float32", source_val=values, output_dtype="fp32")
    np.testing.assert_array_equal(got, values.astype(np.float32))


@pytest.mark.emulator
def test_masks_that_do_not_fit_are_refused():
    message = r"constexpr_sparse_to_dense 'w': mask has 2 ones, nonzero_data has 1 elements"
    with pytest.raises(MilVerifyError, match=message):
        run_constexpr(
            "constexpr_sparse_to_dense",
            (3,),
            "float16",
            nonzero_data=np.ones(1, np.float16),
            mask=const("uint1", np.array([1, 0, 1])),
        )
