"""conv and conv_transpose against fp64 sums from the definition."""

from __future__ import annotations

import numpy as np
import pytest

import backend
import mil_text
import pyane
import reference_matrix as reference
import tolerance
from pyane._core import base

# x [N, C, *D], weight [F, C / groups, *K], attributes.
CASES = {
    "pointwise": ((1, 64, 1, 48), (40, 64, 1, 1), {}),
    "pointwise, batch": ((3, 7, 5, 5), (11, 7, 1, 1), {}),
    "one of everything": ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    "one position": ((1, 90, 1, 1), (70, 90, 1, 1), {}),
    "3x3": ((1, 5, 13, 11), (17, 5, 3, 3), {}),
    "same": ((2, 3, 13, 11), (8, 3, 3, 3), {"pad_type": "same"}),
    "same, even kernel": ((1, 3, 12, 7), (8, 3, 2, 4), {"pad_type": "same"}),
    "same_lower, even kernel": ((1, 3, 12, 7), (8, 3, 2, 4), {"pad_type": "same_lower"}),
    "same, strides": ((1, 3, 13, 16), (8, 3, 3, 5), {"pad_type": "same", "strides": [2, 3]}),
    "same, stride over kernel": (
        (1, 3, 13, 9),
        (4, 3, 1, 2),
        {"pad_type": "same", "strides": [3, 4]},
    ),
    "custom": ((1, 4, 6, 7), (5, 4, 3, 3), {"pad_type": "custom", "pad": [1, 0, 2, 3]}),
    "pad beyond kernel": ((1, 2, 3, 3), (3, 2, 2, 2), {"pad_type": "custom", "pad": [4, 4, 3, 5]}),
    "strides": ((1, 4, 17, 18), (6, 4, 3, 2), {"strides": [3, 2]}),
    "pointwise, strides": ((1, 9, 8, 9), (6, 9, 1, 1), {"strides": [2, 3]}),
    "dilations": ((1, 4, 17, 19), (6, 4, 3, 3), {"dilations": [2, 4]}),
    "all": (
        (2, 6, 15, 14),
        (4, 3, 3, 2),
        {
            "pad_type": "custom",
            "pad": [1, 2, 0, 3],
            "strides": [2, 1],
            "dilations": [1, 3],
            "groups": 2,
        },
    ),
    "groups": ((1, 12, 9, 7), (18, 4, 3, 3), {"groups": 3}),
    "depthwise": ((2, 13, 9, 21), (13, 1, 3, 3), {"groups": 13, "pad_type": "same"}),
    "depthwise, strides": ((1, 16, 19, 34), (16, 1, 5, 3), {"groups": 16, "strides": [2, 2]}),
    "depthwise, multiplier": ((1, 5, 9, 8), (15, 1, 3, 3), {"groups": 5}),
    "1d": ((2, 5, 33), (7, 5, 4), {"strides": [2], "pad_type": "same"}),
    "1d, depthwise": ((1, 8, 70), (8, 1, 7), {"groups": 8, "dilations": [3]}),
    "3d": ((1, 3, 6, 7, 5), (4, 3, 2, 3, 2), {"pad_type": "same", "strides": [1, 2, 1]}),
    "deep": ((1, 70, 5, 5), (33, 70, 3, 3), {"pad_type": "same"}),
    "wide": ((1, 3, 40, 50), (16, 3, 3, 3), {"pad_type": "same"}),
    # Patches in place, more of them than stay in the first-level cache.
    "deep and wide": ((1, 40, 12, 34), (19, 40, 3, 3), {"pad_type": "same"}),
}


def evaluate(text, **arrays):
    with backend.device().compile(text) as kernel:
        return kernel(**arrays)


def operands(rng, x_shape, weight_shape, channels, dtype="float16"):
    return (
        rng.normal(size=x_shape).astype(dtype),
        rng.normal(size=weight_shape).astype(dtype),
        rng.normal(size=channels).astype(dtype),
    )


def check(result, function, x, weight, bias, n_terms, attributes):
    expected = function(x, weight, bias, **attributes)
    magnitude = function(abs(x), abs(weight), None if bias is None else abs(bias), **attributes)
    bound = tolerance.sum_bound(expected, magnitude, n_terms, result.dtype)
    assert result.shape == expected.shape
    assert (abs(result.astype(np.float64) - expected) <= bound).all()


@pytest.mark.parametrize("is_constant", [True, False], ids=["constant", "dynamic"])
@pytest.mark.parametrize("has_bias", [False, True], ids=["", "bias"])
@pytest.mark.parametrize("case", CASES)
def test_conv(case, has_bias, is_constant, rng):
    x_shape, weight_shape, attributes = CASES[case]
    x, weight, bias = operands(rng, x_shape, weight_shape, weight_shape[0])
    others = {"weight": weight} | ({"bias": bias} if has_bias else {})
    constants = others if is_constant else {}
    inputs = {"x": x} | ({} if is_constant else others)
    shape = reference.conv(x, weight, **attributes).shape
    text = mil_text.single("conv", inputs, "float16", shape, **constants, **attributes)
    n_terms = weight[0].size + has_bias
    result = evaluate(text, **inputs)
    check(result, reference.conv, x, weight, bias if has_bias else None, n_terms, attributes)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize(
    "case", ["pointwise", "same", "all", "depthwise", "3d", "deep", "deep and wide"]
)
def test_conv_on_every_instruction_set(case, dtype, rng):
    x_shape, weight_shape, attributes = CASES[case]
    x, weight, bias = operands(rng, x_shape, weight_shape, weight_shape[0], dtype)
    shape = reference.conv(x, weight, **attributes).shape
    constants = {"weight": weight, "bias": bias}
    text = mil_text.single("conv", {"x": x}, dtype, shape, **constants, **attributes)
    result = evaluate(text, x=x)
    check(result, reference.conv, x, weight, bias, weight[0].size + 1, attributes)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("case", ["pointwise", "all", "depthwise", "deep", "wide", "deep and wide"])
def test_conv_same_bits_for_any_number_of_threads(case, rng):
    x_shape, weight_shape, attributes = CASES[case]
    x, weight, _ = operands(rng, x_shape, weight_shape, 1)
    shape = reference.conv(x, weight, **attributes).shape
    text = mil_text.single("conv", {"x": x, "weight": weight}, "float16", shape, **attributes)
    before = base.num_threads()
    results = []
    for threads in (1, 2, 3, 4):
        base.set_num_threads(threads)
        results.append(evaluate(text, x=x, weight=weight))
    base.set_num_threads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("case", ["pointwise", "same", "3x3"])
def test_conv_of_a_transposed_image(case, rng):
    """The image as a view with other strides, as the planner hands it over."""
    x_shape, weight_shape, attributes = CASES[case]
    x, weight, bias = operands(rng, x_shape, weight_shape, weight_shape[0])
    stored = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    shape = reference.conv(x, weight, **attributes).shape
    arguments = {"x": "%t", "weight": weight, "bias": bias, **attributes}
    lines = [
        mil_text.operation(
            "transpose",
            "t",
            mil_text.tensor_type("float16", x.shape),
            {"x": "%x", "perm": [0, 3, 1, 2]},
        ),
        mil_text.operation("conv", "result", mil_text.tensor_type("float16", shape), arguments),
    ]
    inputs = {"x": mil_text.tensor_type("float16", stored.shape)}
    result = evaluate(mil_text.program(inputs, lines, ["result"]), x=stored)
    check(result, reference.conv, x, weight, bias, weight[0].size + 1, attributes)


# x [N, C, *D], weight [C, F / groups, *K], attributes.
TRANSPOSE_CASES = {
    "pointwise": ((1, 6, 5, 4), (6, 9, 1, 1), {}),
    "3x3": ((2, 3, 5, 4), (3, 4, 3, 3), {}),
    "strides": ((1, 3, 5, 4), (3, 4, 3, 4), {"strides": [2, 3]}),
    "stride over kernel": ((1, 3, 5, 4), (3, 4, 2, 2), {"strides": [3, 4]}),
    "pad": ((1, 3, 5, 6), (3, 4, 4, 4), {"strides": [2, 2], "pad": [1, 1, 0, 2]}),
    "dilations": ((1, 3, 5, 6), (3, 4, 3, 2), {"dilations": [2, 3], "pad": [1, 0, 2, 1]}),
    "groups": ((1, 6, 5, 6), (6, 2, 3, 3), {"groups": 3, "strides": [2, 1]}),
    "1d": ((2, 5, 17), (5, 6, 4), {"strides": [2], "pad": [1, 1]}),
    "3d": ((1, 2, 3, 4, 2), (2, 3, 2, 3, 2), {"strides": [2, 1, 2]}),
}


@pytest.mark.parametrize("is_constant", [True, False], ids=["constant", "dynamic"])
@pytest.mark.parametrize("case", TRANSPOSE_CASES)
def test_conv_transpose(case, is_constant, rng):
    x_shape, weight_shape, attributes = TRANSPOSE_CASES[case]
    channels = weight_shape[1] * attributes.get("groups", 1)
    x, weight, bias = operands(rng, x_shape, weight_shape, channels)
    shape = reference.conv_transpose(x, weight, **attributes).shape
    given = {"pad_type": "custom"} if "pad" in attributes else {}
    inputs = {"x": x} | ({} if is_constant else {"weight": weight, "bias": bias})
    constants = {"weight": weight, "bias": bias} if is_constant else {}
    text = mil_text.single(
        "conv_transpose", inputs, "float16", shape, **constants, **attributes, **given
    )
    n_terms = weight.size // channels * x_shape[1] + 1
    result = evaluate(text, **inputs)
    check(result, reference.conv_transpose, x, weight, bias, n_terms, attributes)


REACHES = [(2**22, 2**21, 2**21), (2**31 - 1,) * 3]


@pytest.mark.parametrize("reach", REACHES)
def test_padding_beyond_all_memory(reach):
    """Few results, as dilations are as large: only the padded image is too large, 2**64 and more."""
    x = np.ones((1, 1, 1, 1, 1), np.float16)
    weight = np.ones((1, 1, 2, 2, 2), np.float16)
    attributes = {
        "pad_type": "custom",
        "pad": [pad for r in reach for pad in (0, r)],
        "dilations": [r - 1 for r in reach],
    }
    text = mil_text.single(
        "conv", {"x": x, "weight": weight}, x.dtype, (1, 1, 2, 2, 2), **attributes
    )
    with pytest.raises(pyane.CompileError, match=r"conv 'result': .* x with its padding"):
        pyane.device("emulator").compile(text)


@pytest.mark.parametrize("reach", REACHES)
def test_padding_that_strides_step_over(reach):
    """Only what the kernel meets is kept of the padded image."""
    x = np.full((1, 1, 1, 1, 1), 3, np.float16)
    attributes = {
        "pad_type": "custom",
        "pad": [pad for r in reach for pad in (0, r - 1)],
        "strides": [r - 1 for r in reach],
    }
    text = mil_text.single("conv", {"x": x, "weight": x}, x.dtype, (1, 1, 2, 2, 2), **attributes)
    expected = np.zeros((1, 1, 2, 2, 2))
    expected[0, 0, 0, 0, 0] = 9
    np.testing.assert_array_equal(evaluate(text, x=x, weight=x), expected)


@pytest.mark.parametrize(
    "case", ["same", "strides", "dilations", "groups", "depthwise", "3d", "1d"]
)
def test_conv_against_torch(case, rng):
    torch = pytest.importorskip("torch")
    x_shape, weight_shape, attributes = CASES[case]
    if attributes.get("pad_type") == "same" and max(attributes.get("strides", [1])) > 1:
        attributes = {k: v for k, v in attributes.items() if k != "pad_type"}  # Torch refuses.
    x, weight, bias = operands(rng, x_shape, weight_shape, weight_shape[0], "float32")
    function = getattr(torch.nn.functional, f"conv{x.ndim - 2}d")
    expected = function(
        *(torch.from_numpy(array) for array in (x, weight, bias)),
        stride=tuple(attributes.get("strides", [1] * (x.ndim - 2))),
        padding=attributes.get("pad_type", "valid"),
        dilation=tuple(attributes.get("dilations", [1] * (x.ndim - 2))),
        groups=attributes.get("groups", 1),
    ).numpy()
    constants = {"weight": weight, "bias": bias}
    text = mil_text.single("conv", {"x": x}, "float32", expected.shape, **constants, **attributes)
    magnitude = reference.conv(abs(x), abs(weight), abs(bias), **attributes)
    bound = tolerance.sum_bound(expected, magnitude, weight[0].size + 1, "float32")
    assert (abs(evaluate(text, x=x) - expected) <= 2 * bound).all()  # Both sides err.


def test_large_regular_convs_compile_without_tables():
    """2**30 positions; as a table of offsets they would take 8 GB."""
    weight = np.ones((1, 1, 1, 1), np.float16)
    x = np.broadcast_to(np.float16(0), (1, 1, 1 << 15, 1 << 15))
    text = mil_text.single("conv", {"x": x}, x.dtype, x.shape, weight=weight)
    kernel = pyane.device("emulator").compile(text)
    assert kernel.input_specs["x"].shape == x.shape


@pytest.mark.parametrize(
    ("x_shape", "weight_shape"),
    [((1, 1, (1 << 26) + 2, 6), (64, 1, 3, 3)), ((1 << 28, 1, 1, 1), (1, 1, 1, 1))],
)
def test_tables_of_offsets_are_bounded(x_shape, weight_shape):
    weight = np.ones(weight_shape, np.float16)
    x = np.broadcast_to(np.float16(0), x_shape)
    out = (
        x_shape[0],
        weight_shape[0],
        *(n - k + 1 for n, k in zip(x_shape[2:], weight_shape[2:], strict=True)),
    )
    text = mil_text.single("conv", {"x": x}, x.dtype, out, weight=weight)
    with pytest.raises(pyane.CompileError, match=r"conv 'result': .* at most 67108864, got 268"):
        pyane.device("emulator").compile(text)
