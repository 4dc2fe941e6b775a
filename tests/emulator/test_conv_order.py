"""conv bit for bit: one fp32 sum per element in the order of (channel, kernel), however patches are
read, however large the image, on any instruction set and number of threads.

fp16 products are exact in fp32, so a fused multiply-add and two operations round alike, and NumPy can
add up in the same way.
"""

from __future__ import annotations

import numpy as np
import pytest

import backend
import mil_text
import pyane

# x [1, C, H, W], filters, groups, kernel, strides, dilations, pads (before and after each).
CASES = {
    # Staged as a whole, positions running on from row to row.
    "small": ((3, 13, 21), 5, 1, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    "many filters": ((5, 9, 17), 61, 1, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    "long rows of padding": ((2, 6, 5), 3, 1, (2, 9), (1, 1), (1, 1), (0, 1, 14, 14)),
    "stride 2": ((4, 15, 19), 7, 1, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1)),
    "stride 2, no padding": ((4, 15, 18), 7, 1, (3, 3), (2, 2), (1, 1), (0, 0, 0, 0)),
    "stride 2, two before": ((3, 12, 37), 4, 1, (5, 4), (2, 2), (1, 1), (2, 1, 2, 3)),
    "stride 2 over an element": ((3, 8, 41), 4, 1, (1, 1), (2, 2), (1, 1), (0, 0, 0, 0)),
    "stride 3, dilation 2": ((3, 14, 40), 6, 1, (2, 3), (3, 3), (2, 2), (2, 0, 1, 5)),
    "depthwise": ((6, 11, 70), 6, 6, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    "two per group": ((4, 11, 70), 4, 2, (3, 5), (1, 2), (1, 1), (1, 1, 2, 2)),
    # Packed: rows so short that reading in place would waste more.
    "packed": ((9, 6, 3), 70, 1, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    # More than the cache holds: bands of rows, the last one smaller.
    "bands": ((5, 243, 261), 3, 1, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    "bands, stride 2": ((5, 251, 301), 3, 1, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1)),
    "bands, groups": ((6, 243, 222), 4, 2, (5, 3), (1, 1), (2, 1), (4, 4, 1, 1)),
    "bands, row by row": ((16, 255, 64), 2, 1, (3, 41), (1, 1), (1, 1), (1, 1, 0, 0)),
}


def ordered_conv(x, weight, bias, groups, strides, dilations, pads):
    """fp32, one multiply-add after the other; rounded once."""
    top, bottom, left, right = pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right))).astype(np.float32)
    filters, channels, height, width = weight.shape
    rows, cols = (
        (n - (k - 1) * d - 1) // s + 1
        for n, k, s, d in zip(padded.shape[1:], (height, width), strides, dilations, strict=True)
    )
    sums = np.zeros((filters, rows, cols), np.float32)
    w = weight.astype(np.float32)
    for f in range(filters):
        first = f // (filters // groups) * channels
        for c in range(channels):
            for i in range(height):
                for j in range(width):
                    y, z = i * dilations[0], j * dilations[1]
                    patch = padded[
                        first + c,
                        y : y + (rows - 1) * strides[0] + 1 : strides[0],
                        z : z + (cols - 1) * strides[1] + 1 : strides[1],
                    ]
                    sums[f] += w[f, c, i, j] * patch
    return (sums + bias.astype(np.float32)[:, None, None]).astype(np.float16)


@pytest.mark.emulator
@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("isa")
def test_sums_are_in_order(case, rng):
    x_shape, filters, groups, kernel, strides, dilations, pads = CASES[case]
    x = rng.normal(size=x_shape).astype(np.float16)
    weight = rng.normal(size=(filters, x_shape[0] // groups, *kernel)).astype(np.float16)
    bias = rng.normal(size=filters).astype(np.float16)
    expected = ordered_conv(x, weight, bias, groups, strides, dilations, pads)
    text = mil_text.single(
        "conv",
        {"x": x[None]},
        "float16",
        (1, *expected.shape),
        weight=weight,
        bias=bias,
        groups=groups,
        strides=list(strides),
        dilations=list(dilations),
        pad_type="custom",
        pad=list(pads),
    )
    n_threads = pyane.num_threads()
    try:
        with backend.device().compile(text) as compiled:
            for n in (1, 3):
                pyane.set_num_threads(n)
                np.testing.assert_array_equal(compiled(x=x[None])[0], expected)
    finally:
        pyane.set_num_threads(n_threads)
