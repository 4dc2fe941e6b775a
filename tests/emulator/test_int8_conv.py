"""Convolutions of integers between dequantize and quantize: exact sums, one fp32 operation for the
scales and one for the bias, one rounding. Bit for bit on every instruction set (docs/numerics.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import backend
import mil_text
import pyane
from tolerance import assert_within

pytestmark = pytest.mark.emulator


@dataclass(frozen=True)
class Case:
    x: tuple[int, ...]
    filters: int
    kernel: tuple[int, ...]
    groups: int = 1
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    x_dtype: str = "int8"
    zero_x: int | None = None
    w_dtype: str = "int8"
    zero_w: int | None = None
    per_channel: bool = True
    form: str = "constexpr_affine_dequantize"
    dtype: str = "float16"
    bias: bool = True


CASES = {
    "pointwise": Case((1, 64, 5, 48), 40, (1, 1)),
    "one of everything": Case((1, 1, 1, 1), 1, (1, 1)),
    "odd channels, batch": Case((3, 7, 5, 9), 13, (1, 1), zero_x=-5),
    "3x3": Case((1, 6, 13, 11), 17, (3, 3), pads=(1, 1, 1, 1), zero_x=7),
    "unsigned x": Case((1, 6, 13, 11), 17, (3, 3), pads=(1, 0, 2, 1), x_dtype="uint8", zero_x=131),
    "unsigned x, zero 0": Case((1, 6, 9, 35), 5, (3, 3), pads=(1, 1, 1, 1), x_dtype="uint8"),
    "zero at the end": Case((1, 5, 9, 35), 5, (3, 3), pads=(1, 1, 1, 1), zero_x=-128),
    "unsigned weights, middle": Case((1, 9, 7, 8), 6, (3, 3), w_dtype="uint8", zero_w=128),
    "unsigned weights": Case((1, 9, 7, 8), 6, (3, 3), w_dtype="uint8", zero_w=3, zero_x=9),
    "weights with zero": Case((1, 9, 7, 8), 6, (3, 3), pads=(1, 1, 1, 1), zero_w=-128, zero_x=127),
    "unsigned both": Case(
        (1, 9, 7, 8), 6, (2, 3), x_dtype="uint8", zero_x=255, w_dtype="uint8", zero_w=255
    ),
    "strides": Case((2, 5, 15, 34), 9, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1), zero_x=-3),
    "dilations, stride 3": Case((1, 3, 17, 40), 4, (2, 3), strides=(3, 3), dilations=(2, 3)),
    "groups": Case((1, 12, 9, 21), 10, (3, 3), groups=2, pads=(1, 1, 1, 1)),
    "depthwise": Case((1, 11, 9, 40), 11, (3, 3), groups=11, pads=(1, 1, 1, 1), zero_x=1),
    "1d": Case((2, 5, 33), 7, (4,), strides=(2,), pads=(1, 2), zero_x=-1),
    "3d": Case((1, 3, 6, 7, 5), 4, (2, 3, 2), strides=(1, 2, 1), zero_x=4),
    "one scale": Case((1, 16, 3, 33), 8, (1, 1), per_channel=False, zero_w=0),
    "blockwise": Case((1, 16, 3, 33), 8, (3, 1), form="constexpr_blockwise_shift_scale"),
    "blockwise, offset": Case(
        (1, 16, 3, 33), 8, (3, 1), form="constexpr_blockwise_shift_scale", zero_w=-7
    ),
    "dequantize": Case((1, 16, 3, 33), 8, (3, 1), form="dequantize"),
    "fp32": Case((1, 6, 13, 11), 5, (3, 3), dtype="float32", zero_x=2),
    "no bias": Case((1, 6, 13, 11), 5, (3, 3), bias=False),
    "most terms": Case((1, 32768, 1, 3), 2, (1, 1), x_dtype="uint8", w_dtype="uint8", zero_w=0),
}


def draw(case: Case, rng: np.random.Generator):
    def integers(dtype, shape):
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max + 1, shape).astype(dtype)

    x = integers(case.x_dtype, case.x)
    weight = integers(case.w_dtype, (case.filters, case.x[1] // case.groups, *case.kernel))
    # Sums stay finite in fp16, and scales are no powers of two.
    size = np.sqrt(weight[0].size) * 74 * 74
    n_scales = case.filters if case.per_channel else 1
    scale_x = np.asarray(rng.uniform(0.5, 1.5) / np.sqrt(size), case.dtype)
    scale_w = (rng.uniform(0.5, 1.5, n_scales) / np.sqrt(size)).astype(case.dtype)
    bias = rng.normal(size=case.filters).astype(case.dtype)
    return x, weight, scale_x, scale_w, bias


def program(case: Case, x, weight, scale_x, scale_w, bias, shape) -> str:
    kind = {"float16": "fp16", "float32": "fp32"}[case.dtype]

    def tensor(dims):
        return f"tensor<{kind}, [{', '.join(map(str, dims))}]>"

    given = {"input": "%x", "scale": scale_x}
    if case.zero_x is not None:
        given["zero_point"] = np.asarray(case.zero_x, case.x_dtype)
    if case.per_channel and case.form == "constexpr_blockwise_shift_scale":
        scales = scale_w.reshape(-1, *[1] * (weight.ndim - 1))
    elif case.form == "constexpr_blockwise_shift_scale":
        scales = scale_w.reshape([1] * weight.ndim)
    else:
        scales = scale_w if case.per_channel else scale_w[0]
    zeros = np.full(np.shape(scales), case.zero_w or 0).astype(case.w_dtype)
    names = {
        "constexpr_affine_dequantize": ("quantized_data", "zero_point"),
        "constexpr_blockwise_shift_scale": ("data", "offset"),
        "dequantize": ("input", "zero_point"),
    }
    data, zero = names[case.form]
    weights = {data: weight, "scale": scales}
    if case.form == "constexpr_affine_dequantize" or case.zero_w is not None:
        weights[zero] = zeros
    if case.form != "constexpr_blockwise_shift_scale":
        weights["axis"] = np.int32(0)
    attributes = {"groups": case.groups, "pad_type": "valid"}
    if case.strides:
        attributes["strides"] = list(case.strides)
    if case.dilations:
        attributes["dilations"] = list(case.dilations)
    if case.pads:
        attributes |= {"pad_type": "custom", "pad": list(case.pads)}
    if case.bias:
        attributes["bias"] = bias
    lines = [
        mil_text.operation("dequantize", "xq", tensor(x.shape), given),
        mil_text.operation(case.form, "w", tensor(weight.shape), weights),
        mil_text.operation("conv", "y", tensor(shape), {"x": "%xq", "weight": "%w"} | attributes),
    ]
    x_kind = f"tensor<{case.x_dtype}, [{', '.join(map(str, x.shape))}]>"
    return mil_text.program({"x": x_kind}, lines, ["y"])


def integer_sums(case: Case, x, weight):
    """Window by window, in int64."""
    n_spatial = len(case.kernel)
    strides = case.strides or (1,) * n_spatial
    dilations = case.dilations or (1,) * n_spatial
    pads = case.pads or (0,) * (2 * n_spatial)
    levels = x.astype(np.int64) - (case.zero_x or 0)
    levels = np.pad(
        levels, [(0, 0), (0, 0)] + [(pads[2 * i], pads[2 * i + 1]) for i in range(n_spatial)]
    )
    w = weight.astype(np.int64) - (case.zero_w or 0)
    outs = [
        (n - (k - 1) * d - 1) // s + 1
        for n, k, s, d in zip(levels.shape[2:], case.kernel, strides, dilations, strict=True)
    ]
    sums = np.zeros((x.shape[0], case.filters, *outs), np.int64)
    per_group, channels = case.filters // case.groups, weight.shape[1]
    for g in range(case.groups):
        part = levels[:, g * channels : (g + 1) * channels]
        filters = slice(g * per_group, (g + 1) * per_group)
        for k in np.ndindex(*case.kernel):
            places = tuple(
                slice(i * d, i * d + (n - 1) * s + 1, s)
                for i, d, n, s in zip(k, dilations, outs, strides, strict=True)
            )
            patch = part[(slice(None), slice(None), *places)]
            tap = w[(filters, slice(None), *k)]
            sums[:, filters] += np.moveaxis(np.tensordot(tap, patch, (1, 1)), 0, 1)
    return sums


def expected_bits(case: Case, sums, scale_x, scale_w, bias):
    """As docs/numerics.md says, in fp32 step by step."""
    f32 = np.float32
    factors = f32(scale_x) * scale_w.astype(f32)
    along = (1, -1, *[1] * (sums.ndim - 2))
    y = sums.astype(f32) * factors.reshape(along)
    if case.bias:
        y = y + bias.astype(f32).reshape(along)
    return y.astype(case.dtype)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("name", CASES)
def test_bits(name, rng, monkeypatch):
    case = CASES[name]
    x, weight, scale_x, scale_w, bias = draw(case, rng)
    sums = integer_sums(case, x, weight)
    assert abs(sums).max() < 2**31
    expected = expected_bits(case, sums, scale_x, scale_w, bias)
    text = program(case, x, weight, scale_x, scale_w, bias, sums.shape)
    before = pyane.num_threads()
    try:
        for plain in ("", "1"):
            monkeypatch.setenv("PYANE_EMULATOR_PLAIN", plain)
            with backend.device().compile(text) as kernel:
                for n in (1, 3):
                    pyane.set_num_threads(n)
                    np.testing.assert_array_equal(kernel(x), expected)
    finally:
        pyane.set_num_threads(before)
    # Against fp64: three roundings to fp32, of the sum, the factor and their product, and two more.
    along = (1, -1, *[1] * (sums.ndim - 2))
    product = sums * (float(scale_x) * scale_w.astype(np.float64)).reshape(along)
    b = bias.astype(np.float64).reshape(along) if case.bias else 0.0
    in_fp32 = 2.0**-24 * (3.01 * abs(product) + abs(product + b) * 1.01)
    info = np.finfo(case.dtype)
    unit = info.eps / 2 * (abs(product + b) + in_fp32) + info.smallest_subnormal / 2
    assert_within(expected, product + b, in_fp32 + unit)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"x": (1, 32769, 1, 3), "filters": 1, "kernel": (1, 1)}, id="terms"),
        pytest.param({"dtype": "float16"}, id="scale per channel of x"),
    ],
)
def test_other_patterns_round_between_operations(change, rng):
    """More terms than int32 is sure to hold; a scale for each channel of x: ordinary operations."""
    case = Case(**({"x": (1, 8, 5, 9), "filters": 4, "kernel": (3, 3)} | change))
    x, weight, scale_x, scale_w, bias = draw(case, rng)
    if change == {"dtype": "float16"}:
        scale_x = np.full(8, scale_x)
    sums = integer_sums(case, x, weight)
    text = program(case, x, weight, scale_x, scale_w, bias, sums.shape)
    if scale_x.ndim:
        text = text.replace("dequantize(", "dequantize(axis = int32(1), ", 1)
    result = backend.device().compile(text)(x)
    dequantized = (x * scale_x.ravel()[0].astype(np.float64)).astype(np.float16)
    weights = (weight * scale_w.astype(np.float64).reshape(-1, 1, 1, 1)).astype(np.float16)
    exact = np.zeros(sums.shape)
    magnitude = np.zeros(sums.shape)
    for k in np.ndindex(*case.kernel):
        tap = weights[(slice(None), slice(None), *k)].astype(np.float64)
        places = tuple(slice(i, i + n) for i, n in zip(k, sums.shape[2:], strict=True))
        patch = dequantized[(slice(None), slice(None), *places)].astype(np.float64)
        exact += np.moveaxis(np.tensordot(tap, patch, (1, 1)), 0, 1)
        magnitude += np.moveaxis(np.tensordot(abs(tap), abs(patch), (1, 1)), 0, 1)
    exact += bias.astype(np.float64).reshape(1, -1, 1, 1)
    n_terms = weight[0].size + 1
    bound = n_terms * 2.0**-24 * magnitude + 2.0**-11 * abs(exact) + 2.0**-24
    assert_within(result, exact, bound)


def test_dequantized_values_that_others_read(rng):
    """x is also an output: rounded there, and still integers in the convolution."""
    case = Case((1, 6, 5, 33), 4, (1, 1), zero_x=3, bias=False)
    x, weight, scale_x, scale_w, bias = draw(case, rng)
    sums = integer_sums(case, x, weight)
    text = program(case, x, weight, scale_x, scale_w, bias, sums.shape)
    text = text.replace("-> (y)", "-> (xq, y)")
    results = backend.device().compile(text)(x)
    expected = expected_bits(case, sums, scale_x, scale_w, bias)
    np.testing.assert_array_equal(results["y"], expected)
    np.testing.assert_array_equal(
        results["xq"], (np.float32(scale_x) * (x.astype(np.float32) - 3)).astype(np.float16)
    )
