"""fp64 matmul, linear, conv and conv_transpose, from their definitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def _window(start: int, count: int, step: int) -> slice:
    return slice(start, start + (count - 1) * step + 1, step)


def same_padding(size: int, extent: int, stride: int, pad_type: str) -> tuple[int, int]:
    """Zeros before and after, so that there are ceil(size / stride) windows; see MIL's conv."""
    outputs = -(-size // stride)
    total = max(0, (outputs - 1) * stride + extent - size)
    less, more = total // 2, total - total // 2
    return (less, more) if pad_type == "same" else (more, less)


def conv(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    strides: Sequence[int] | None = None,
    pad_type: str = "valid",
    pad: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    groups: int = 1,
) -> np.ndarray:
    """y[n,f,o] = bias[f] + sum over c, k of weight[f,c,k] x[n, c of f's group, o s + k d - pad]."""
    x, weight = x.astype(np.float64), weight.astype(np.float64)
    rank = x.ndim - 2
    strides = strides or [1] * rank
    dilations = dilations or [1] * rank
    kernel = weight.shape[2:]
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if pad_type == "custom":
        assert pad is not None
        padding = [(pad[2 * i], pad[2 * i + 1]) for i in range(rank)]
    elif pad_type == "valid":
        padding = [(0, 0)] * rank
    else:
        padding = [
            same_padding(size, extent, stride, pad_type)
            for size, extent, stride in zip(x.shape[2:], extents, strides, strict=True)
        ]
    x = np.pad(x, [(0, 0), (0, 0), *padding])
    outputs = [
        (size - extent) // stride + 1
        for size, extent, stride in zip(x.shape[2:], extents, strides, strict=True)
    ]
    filters = weight.shape[0] // groups
    channels = x.shape[1] // groups
    y = np.zeros((x.shape[0], weight.shape[0], *outputs))
    for group in range(groups):
        f = slice(group * filters, (group + 1) * filters)
        c = slice(group * channels, (group + 1) * channels)
        for k in np.ndindex(*kernel):
            windows = tuple(
                _window(k[i] * dilations[i], outputs[i], strides[i]) for i in range(rank)
            )
            seen = x[(slice(None), c, *windows)]
            y[:, f] += np.einsum("nc...,fc->nf...", seen, weight[(f, slice(None), *k)])
    if bias is not None:
        y += bias.astype(np.float64).reshape(1, -1, *[1] * rank)
    return y


def conv_transpose(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    strides: Sequence[int] | None = None,
    pad: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    groups: int = 1,
) -> np.ndarray:
    """Every x[n,c,i] adds weight[c,f,k] times itself to y[n,f,i s + k d - pad]."""
    x, weight = x.astype(np.float64), weight.astype(np.float64)
    rank = x.ndim - 2
    strides = strides or [1] * rank
    dilations = dilations or [1] * rank
    pad = pad or [0] * (2 * rank)
    kernel = weight.shape[2:]
    full = [
        (x.shape[2 + i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 for i in range(rank)
    ]
    filters = weight.shape[1]
    channels = x.shape[1] // groups
    y = np.zeros((x.shape[0], filters * groups, *full))
    for group in range(groups):
        f = slice(group * filters, (group + 1) * filters)
        c = slice(group * channels, (group + 1) * channels)
        for k in np.ndindex(*kernel):
            windows = tuple(
                _window(k[i] * dilations[i], x.shape[2 + i], strides[i]) for i in range(rank)
            )
            y[(slice(None), f, *windows)] += np.einsum(
                "nc...,cf->nf...", x[:, c], weight[(c, slice(None), *k)]
            )
    crop = tuple(slice(pad[2 * i], full[i] - pad[2 * i + 1]) for i in range(rank))
    y = y[(slice(None), slice(None), *crop)]
    if bias is not None:
        y = y + bias.astype(np.float64).reshape(1, -1, *[1] * rank)
    return y
