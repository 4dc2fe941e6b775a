"""fp64 NumPy references of pooling and resizing, from Apple's description of each operation, with
the error bounds of their fp32 arithmetic.
"""

from __future__ import annotations

import itertools

import numpy as np

from tolerance import rounding_bound, sum_bound


def window_starts(n: int, kernel: int, stride: int, before: int, after: int, ceil_mode: bool):
    """First positions of the windows over n elements with padding."""
    slack = n + before + after - kernel
    count = (-(-slack // stride) if ceil_mode else slack // stride) + 1
    if ceil_mode and (before + after) > 0 and (count - 1) * stride >= n + before:
        count -= 1
    return [i * stride - before for i in range(count)]


def pool(op, x, kernel, strides, pads, ceil_mode=False, exclude=False):
    """fp64, window by window. Also the number of elements and the sum of magnitudes."""
    spatial = x.shape[2:]
    starts = [
        window_starts(n, k, s, *p, ceil_mode)
        for n, k, s, p in zip(spatial, kernel, strides, pads, strict=True)
    ]
    shape = x.shape[:2] + tuple(len(s) for s in starts)
    value, magnitude = np.zeros(shape), np.zeros(shape)
    for index in itertools.product(*(range(len(s)) for s in starts)):
        lows = [s[i] for s, i in zip(starts, index, strict=True)]
        inside = tuple(
            slice(max(low, 0), max(min(low + k, n), 0))
            for low, k, n in zip(lows, kernel, spatial, strict=True)
        )
        window = x[(slice(None), slice(None), *inside)].reshape(*x.shape[:2], -1)
        at = (slice(None), slice(None), *index)
        if op == "max_pool":
            value[at] = window.max(-1, initial=-np.inf)
            continue
        terms = window * window if op == "l2_pool" else window
        value[at], magnitude[at] = terms.sum(-1), np.abs(terms).sum(-1)
        if op == "l2_pool":
            value[at] = np.sqrt(value[at])
            continue
        divisor = window.shape[-1]
        if not exclude:
            divisor = np.prod(
                [
                    min(low + k, n + p[1]) - low
                    for low, k, n, p in zip(lows, kernel, spatial, pads, strict=True)
                ]
            )
        value[at] /= max(divisor, 1)
        magnitude[at] /= max(divisor, 1)
    return value, magnitude


def pool_bound(op, value, magnitude, n, dtype):
    if op == "max_pool":
        return 0.0
    if op == "l2_pool":
        return rounding_bound(value, dtype, 1) + (n + 1) * 2.0**-24 * value
    return sum_bound(value, magnitude, n + 2, dtype)


SAMPLING_MODES = [
    "DEFAULT",
    "STRICT_ALIGN_CORNERS",
    "ALIGN_CORNERS",
    "OFFSET_CORNERS",
    "UNALIGN_CORNERS",
]


def grid(mode: str, n_in: int, n_out: int) -> np.ndarray:
    """Sample points, as the definition of resize_bilinear in coremltools writes them."""
    i = np.arange(n_out, dtype=np.float64)
    if mode == "ALIGN_CORNERS" and n_out == 1:
        return np.array([(n_in - 1) / 2])
    if mode in {"STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"}:
        points = i * ((n_in - 1) / (n_out - 1)) if n_out > 1 else i
    elif mode == "DEFAULT":
        spacing = (n_in - n_in / n_out) / (n_out - 1) if n_out > 1 else 0.0
        points = i * spacing
    elif mode == "OFFSET_CORNERS":
        delta = max(1, n_in - 1) / n_out
        points = 0.5 * delta + i * delta
    else:
        spacing = n_in / n_out
        points = i * spacing + 0.5 * spacing - 0.5
    return np.minimum(n_in - 1, np.maximum(0, points))


def linear(x: np.ndarray, axis: int, points: np.ndarray) -> np.ndarray:
    low = np.floor(points).astype(int)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    weight = (points - low).reshape(shape)
    return np.take(x, low, axis) * (1 - weight) + np.take(x, high, axis) * weight


def resized(x: np.ndarray, sizes: tuple[int, ...], mode: str) -> np.ndarray:
    for axis, size in zip(range(x.ndim - len(sizes), x.ndim), sizes, strict=True):
        x = linear(x, axis, grid(mode, x.shape[axis], size))
    return x


def resize_bound(x: np.ndarray, value: np.ndarray, dtype: object) -> np.ndarray:
    # Each dimension: the weight's rounding, 1 - w, two products and a sum, of numbers up to |x|.
    return rounding_bound(value, dtype) + 4 * 5 * 2.0**-24 * np.abs(x).max()
