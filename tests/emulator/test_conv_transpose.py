"""conv_transpose as what it is: the gradient of a conv, worked out by PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from tolerance import assert_within, sum_bound

CASES = [
    # x [N, C, *D], kernel, output channels per group, groups, strides, dilations
    ((1, 3, 5, 4), (3, 3), 4, 1, (1, 1), (1, 1)),
    ((2, 4, 5, 4), (4, 2), 3, 2, (2, 3), (1, 1)),
    ((1, 2, 6, 5), (3, 2), 3, 1, (2, 1), (2, 3)),
    ((1, 6, 4, 4), (2, 2), 1, 6, (2, 2), (1, 1)),
    ((2, 3, 11), (5,), 4, 1, (3,), (2,)),
    ((1, 2, 3, 4, 2), (2, 3, 2), 2, 1, (2, 1, 2), (1, 1, 1)),
]


def same_pads(outputs, kernel, strides, dilations, lower):
    """Those of the conv from `outputs` positions to ceil(outputs / stride)."""
    pads = []
    for n, k, s, d in zip(outputs, kernel, strides, dilations, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        before = total - total // 2 if lower else total // 2
        pads.append((before, total - before))
    return pads


def gradient(torch, x, weight, outputs, pads, strides, dilations, groups):
    """dL/dy of conv(y, weight) = x-shaped, for dL/dconv = x."""
    n = len(outputs)
    y = torch.zeros((x.shape[0], weight.shape[1] * groups, *outputs), dtype=torch.float64)
    y.requires_grad_()
    flat = [amount for pair in reversed(pads) for amount in pair]
    conv = getattr(torch.nn.functional, f"conv{n}d")
    result = conv(
        torch.nn.functional.pad(y, flat), torch.from_numpy(weight).double(), None, strides, 0,
        dilations, groups,
    )  # fmt: skip
    upstream = torch.from_numpy(x).double()
    # Positions beyond what x has got take no gradient.
    window = tuple(slice(0, k) for k in upstream.shape)
    result[window].backward(upstream)
    return y.grad.numpy()


@pytest.mark.parametrize("form", ["valid", "same", "same_lower", "custom", "output_shape"])
@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_gradient_of_conv(evaluate, rng, case, form, dtype):
    torch = pytest.importorskip("torch")
    shape, kernel, filters, groups, strides, dilations = CASES[case]
    n = len(kernel)
    x = rng.normal(size=shape).astype(dtype)
    weight = rng.normal(size=(shape[1], filters, *kernel)).astype(dtype)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    whole = [(m - 1) * s + e for m, s, e in zip(shape[2:], strides, extents, strict=True)]
    given = {"pad_type": "valid"}
    pads, outputs = [(0, 0)] * n, whole
    if form in {"same", "same_lower"}:
        given = {"pad_type": form}
        outputs = [m * s for m, s in zip(shape[2:], strides, strict=True)]
        pads = same_pads(outputs, kernel, strides, dilations, form == "same_lower")
    elif form == "custom":
        pads = [(1, 0), (0, 1), (1, 1)][:n]
        outputs = [m - sum(p) for m, p in zip(whole, pads, strict=True)]
        given = {"pad_type": "custom", "pad": np.array(pads, np.int32).ravel()}
    elif form == "output_shape":
        # As far as the conv back still has x's positions.
        outputs = [m + s - 1 for m, s in zip(whole, strides, strict=True)]
        given["output_shape"] = np.array([shape[0], filters * groups, *outputs], np.int32)
    operands = [np.asarray(a, np.float64) for a in (x, weight)]
    arguments = (outputs, pads, strides, dilations, groups)
    value = gradient(torch, *operands, *arguments)
    magnitude = gradient(torch, *map(np.abs, operands), *arguments)
    result = evaluate(
        "conv_transpose", {"x": x, "weight": weight}, value.shape, dtype, groups=groups,
        strides=np.array(strides, np.int32), dilations=np.array(dilations, np.int32), **given,
    )  # fmt: skip
    n_terms = shape[1] // groups * int(np.prod(kernel))
    assert_within(result, value, sum_bound(value, magnitude, n_terms, dtype))
