"""MIL programs evaluated by PyTorch in fp64: an oracle for whole models.

Only what vision and speech models are made of; written from Apple's description of the operations,
knowing nothing of pyane's kernels. Nothing is rounded in between, not even where a program says fp16.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from pyane._core import mil


def spatial_padding(given: Mapping[str, Any], x: torch.Tensor, kernel, strides, dilations):
    """(before, after) for each spatial dimension."""
    if given["pad_type"] == "valid":
        return [(0, 0)] * len(kernel)
    if given["pad_type"] == "custom":
        return [tuple(given["pad"][2 * i : 2 * i + 2]) for i in range(len(kernel))]
    pads = []
    for n, k, s, d in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        pads.append((total // 2, total - total // 2))
    return pads


def padded(x: torch.Tensor, pads, value: float) -> torch.Tensor:
    return F.pad(x, [int(n) for pair in reversed(pads) for n in pair], value=value)


def conv(x, weight, bias=None, groups=1, strides=None, dilations=None, **given):
    n = weight.ndim - 2
    strides = [1] * n if strides is None else [int(s) for s in strides]
    dilations = [1] * n if dilations is None else [int(d) for d in dilations]
    x = padded(x, spatial_padding(given, x, weight.shape[2:], strides, dilations), 0.0)
    function = [F.conv1d, F.conv2d, F.conv3d][n - 1]
    return function(x, weight, bias, strides, 0, dilations, int(groups))


def max_pool(x, kernel_sizes, strides, ceil_mode=False, **given):
    assert not ceil_mode
    kernel, strides = [int(k) for k in kernel_sizes], [int(s) for s in strides]
    pads = spatial_padding(given, x, kernel, strides, [1] * len(kernel))
    return F.max_pool2d(padded(x, pads, -torch.inf), kernel, strides)


def concat(values, axis, interleave=False):
    assert not interleave
    return torch.cat(values, int(axis))


def split(x, axis, split_sizes):
    return torch.split(x, [int(n) for n in split_sizes], int(axis))


def upsample_nearest_neighbor(x, scale_factor_height, scale_factor_width):
    height, width = int(scale_factor_height), int(scale_factor_width)
    assert (height, width) == (scale_factor_height, scale_factor_width)
    return x.repeat_interleave(height, -2).repeat_interleave(width, -1)


def matmul(x, y, transpose_x=False, transpose_y=False):
    return (x.mT if transpose_x else x) @ (y.mT if transpose_y else y)


def layer_norm(x, axes, gamma, beta, epsilon):
    assert [int(a) % x.ndim for a in axes] == [x.ndim - 1]
    return F.layer_norm(x, x.shape[-1:], gamma, beta, float(epsilon))


OPERATIONS = {
    "add": lambda x, y: x + y,
    "cast": lambda x, dtype: x,  # noqa: ARG005 -- nothing is rounded
    "concat": concat,
    "conv": conv,
    "gelu": lambda x, mode: F.gelu(x, approximate={"EXACT": "none"}[mode]),
    "layer_norm": layer_norm,
    "linear": lambda x, weight, bias=None: F.linear(x, weight, bias),
    "matmul": matmul,
    "max_pool": max_pool,
    "mul": lambda x, y: x * y,
    "reshape": lambda x, shape: x.reshape([int(n) for n in shape]),
    "sigmoid": lambda x: torch.sigmoid(x),  # noqa: PLW0108 -- renames
    "silu": lambda x: F.silu(x),  # noqa: PLW0108 -- renames
    "softmax": lambda x, axis: torch.softmax(x, int(axis)),
    "split": split,
    "sub": lambda x, y: x - y,
    "transpose": lambda x, perm: x.permute([int(a) for a in perm]),
    "upsample_nearest_neighbor": upsample_nearest_neighbor,
}


def evaluate(
    program: mil.Program, weights: Mapping[int, np.ndarray], inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Outputs of the program's first function. `weights` by offset in the one weight file."""
    function = program.functions[0]
    values: dict[str, Any] = {k: torch.from_numpy(v).double() for k, v in inputs.items()}

    def constant(literal: mil.Literal) -> Any:
        value = literal.value
        if isinstance(value, mil.BlobReference):
            return torch.from_numpy(weights[value.offset]).double()
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            return torch.from_numpy(np.array(value)).double()
        return value

    def operand(given: Any) -> Any:
        if isinstance(given, tuple):
            return [operand(item) for item in given]
        return values[given] if isinstance(given, str) else constant(given)

    for operation in function.operations:
        names = [output.name for output in operation.outputs]
        if operation.type == "const":
            values[names[0]] = constant(operation.attributes["val"])
            continue
        given = {name: operand(value) for name, value in operation.arguments.items()}
        results = OPERATIONS[operation.type](**given)
        values.update(zip(names, results if len(names) > 1 else [results], strict=True))
    return {name: values[name].numpy() for name in function.outputs}
