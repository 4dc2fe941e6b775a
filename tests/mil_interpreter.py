"""A slow evaluation of MIL programs in NumPy, written from the operations' definitions.

The parser is pyane's; weights are taken from their file by this module's own reader, unpacked bit
by bit. Arithmetic is fp64, results are rounded to their declared types.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import reference_ops
from pyane._core import mil

DTYPES = {
    "fp16": np.float16,
    "fp32": np.float32,
    "bool": np.bool_,
    "int8": np.int8,
    "uint8": np.uint8,
    "int32": np.int32,
    "uint32": np.uint32,
}


def bits_of(data: bytes, width: int, n: int) -> np.ndarray:
    """`n` integers of `width` bits, the first in the low bits of the first byte."""
    stream = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    return (stream[: n * width].reshape(n, width) << np.arange(width)).sum(axis=1)


def from_file(file: bytes, offset: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """One tensor of a weight file: metadata of 64 bytes names size and place of the data."""
    sentinel, _, _, start = struct.unpack_from("<IIQQ", file, offset)
    assert sentinel == 0xDEADBEEF
    n = math.prod(shape)
    if dtype.startswith("uint") and dtype not in DTYPES:
        width = int(dtype.removeprefix("uint"))
        return bits_of(file[start : start + (n * width + 7) // 8], width, n).reshape(shape)
    return np.frombuffer(file, DTYPES[dtype], n, start).reshape(shape)


def lookup(indices: np.ndarray, lut: np.ndarray, shape: Any = None) -> np.ndarray:
    if shape is not None:  # iOS16: packed indices, one table.
        width = int(math.log2(lut.size))
        return lut[bits_of(indices.tobytes(), width, math.prod(shape))].reshape(shape)
    assert lut.size == lut.shape[-2], "only one table of scalars here"
    return lut.ravel()[indices]


def sparse(nonzero_data: np.ndarray, mask: np.ndarray) -> np.ndarray:
    dense = np.zeros(mask.shape)
    dense[mask != 0] = nonzero_data
    return dense


def affine(quantized_data: Any, scale: Any, zero_point: Any, axis: int) -> np.ndarray:
    def wide(values: np.ndarray) -> np.ndarray:
        shape = [1] * quantized_data.ndim
        shape[axis] = -1
        return values.astype(np.float64).reshape(shape if values.ndim else ())

    return wide(scale) * (quantized_data - wide(zero_point))


def conv(x: Any, weight: Any, bias: Any = 0, **options: Any) -> np.ndarray:
    """One spatial dimension, one group."""
    assert options["groups"] == 1
    assert options["dilations"].tolist() == [1]
    before, after = (0, 0) if options["pad_type"] == "valid" else options["pad"]
    x = np.pad(x, ((0, 0), (0, 0), (before, after)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2], axis=2)
    windows = windows[:, :, :: options["strides"][0]]
    return np.einsum("ncwk,ock->now", windows, weight) + np.reshape(bias, (1, -1, 1))


def slice_by_index(x: Any, begin: Any, end: Any, **masks: Any) -> np.ndarray:
    none = np.zeros(x.ndim, bool)
    free = [masks.get("begin_mask", none), masks.get("end_mask", none)]
    squeezed = masks.get("squeeze_mask", none)
    index = [
        b if s else slice(None if f else b, None if g else e)
        for b, e, f, g, s in zip(begin, end, *free, squeezed, strict=True)
    ]
    return x[tuple(index)]


def lstm(x: Any, initial_h: Any, initial_c: Any, **options: Any) -> tuple[np.ndarray, ...]:
    """Forward, with the default activations."""
    assert options["direction"] == "forward"
    h, c, steps = initial_h, initial_c, []
    for step in x:
        gates = step @ options["weight_ih"].T + h @ options["weight_hh"].T + options["bias"]
        i, f, o, z = np.split(gates, 4, axis=1)
        c = reference_ops.sigmoid(f) * c + reference_ops.sigmoid(i) * np.tanh(z)
        h = reference_ops.sigmoid(o) * np.tanh(c)
        steps.append(h)
    return np.stack(steps if options["output_sequence"] else steps[-1:]), h, c


OPS: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "cast": lambda x, dtype: x,  # noqa: ARG005 -- rounded as any result
    "clip": lambda x, alpha, beta: np.clip(x, alpha, beta),  # noqa: PLW0108 -- renames
    "constexpr_affine_dequantize": affine,
    "constexpr_lut_to_dense": lookup,
    "constexpr_sparse_to_dense": sparse,
    "conv": conv,
    "expand_dims": lambda x, axes: np.expand_dims(x, tuple(axes)),
    "gelu": lambda x, mode: reference_ops.gelu(x, mode),  # noqa: PLW0108 -- renames
    "lstm": lstm,
    "matmul": lambda x, y, transpose_x, transpose_y: (
        (x.swapaxes(-1, -2) if transpose_x else x) @ (y.swapaxes(-1, -2) if transpose_y else y)
    ),
    "pad": lambda x, pad, mode, constant_val: np.pad(  # noqa: ARG005 -- unused by reflect
        x, np.reshape(pad, (-1, 2)), mode
    ),
    "pow": lambda x, y: x**y,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: reference_ops.sigmoid(x),  # noqa: PLW0108 -- renames
    "slice_by_index": slice_by_index,
    "sqrt": lambda x: np.sqrt(x),  # noqa: PLW0108 -- renames
    "squeeze": lambda x, axes: np.squeeze(x, tuple(axes)),
    "transpose": lambda x, perm: np.transpose(x, perm),  # noqa: PLW0108 -- renames
}


def run(
    text: str, weights: Mapping[str, bytes], inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Outputs of the program's only function, by name."""
    function = mil.parse(text).functions[0]

    def read(literal: Any) -> Any:
        value = literal.value
        if isinstance(value, mil.BlobReference):
            shape = tuple(literal.type.shape)
            value = from_file(weights[value.path], value.offset, literal.type.dtype, shape)
        return value

    values: dict[str, Any] = {name: array.astype(np.float64) for name, array in inputs.items()}
    for operation in function.operations:
        given = dict(operation.arguments)
        given |= {k: v for k, v in operation.attributes.items() if k != "name"}
        arguments = {k: values[v] if isinstance(v, str) else read(v) for k, v in given.items()}
        if operation.type == "const":
            values[operation.outputs[0].name] = arguments["val"]
            continue
        results = OPS[operation.type](**arguments)
        for output, result in zip(
            operation.outputs, results if isinstance(results, tuple) else (results,), strict=True
        ):
            rounded = np.asarray(result).astype(DTYPES[output.type.dtype])
            assert rounded.shape == tuple(output.type.shape), operation.name
            values[output.name] = rounded.astype(np.float64)
    return {name: values[name] for name in function.outputs}
