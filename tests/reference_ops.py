"""fp64 NumPy references of MIL operations, from Apple's description of each operation.

Elementwise functions take fp64 (or int64, bool) arrays. Limits at infinity are those of the
mathematical function.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def times_sigmoid(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    return np.where(np.isneginf(x), 0.0, x * sigmoid(u))


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, x)


def gelu(x: np.ndarray, mode: str = "EXACT") -> np.ndarray:
    if mode == "TANH_APPROXIMATION":  # (1 + tanh u) / 2 = sigmoid(2 u)
        return times_sigmoid(x, 2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    if mode == "SIGMOID_APPROXIMATION":
        return times_sigmoid(x, 1.702 * x)
    return np.where(np.isneginf(x), 0.0, x * 0.5 * _erfc(-x / math.sqrt(2)))


UNARY: dict[str, Any] = {
    "abs": np.abs,
    "acos": np.arccos,
    "asin": np.arcsin,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "clamped_relu": lambda x, alpha, beta: np.minimum(np.where(x < 0, alpha * x, x), beta),
    "clip": lambda x, alpha, beta: np.clip(x, alpha, beta),  # noqa: PLW0108 -- renames
    "cos": np.cos,
    "cosh": np.cosh,
    "elu": lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "erf": _erf,
    "exp": np.exp,
    "exp2": np.exp2,
    "floor": np.floor,
    "gelu": gelu,
    "inverse": lambda x, epsilon=1e-4: 1 / (x + np.float64(np.float32(epsilon))),
    "leaky_relu": lambda x, alpha: np.where(x < 0, alpha * x, x),
    "linear_activation": lambda x, alpha, beta: alpha * x + beta,
    "log": lambda x, epsilon=1e-45: np.log(x + np.float64(np.float32(epsilon))),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "round": np.round,
    "rsqrt": lambda x, epsilon=1e-12: 1 / np.sqrt(x + np.float64(np.float32(epsilon))),
    "scaled_tanh": lambda x, alpha, beta: alpha * np.tanh(beta * x),
    "sigmoid": sigmoid,
    "sigmoid_hard": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
    "sign": np.sign,
    "silu": lambda x: times_sigmoid(x, x),
    "sin": np.sin,
    "sinh": np.sinh,
    "softplus": softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
    "threshold": lambda x, alpha: np.maximum(x, alpha),  # noqa: PLW0108 -- renames
    "thresholded_relu": lambda x, alpha: np.where(x < alpha, 0, x),
}


def integer_floor_div(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(y == 0, 0, np.floor_divide(x, np.where(y == 0, 1, y)))


def integer_mod(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(y == 0, 0, np.mod(x, np.where(y == 0, 1, y)))


def integer_div(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Towards zero."""
    magnitude = np.abs(x) // np.maximum(np.abs(y), 1)
    return np.where(y == 0, 0, np.where((x < 0) != (y < 0), -magnitude, magnitude))


BINARY: dict[str, Any] = {
    "add": np.add,
    "floor_div": lambda x, y: np.floor(x / y),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mod": np.mod,
    "mul": np.multiply,
    "pow": np.power,
    "real_div": np.divide,
    "sub": np.subtract,
}

BINARY_INTEGER: dict[str, Any] = BINARY | {
    "floor_div": integer_floor_div,
    "mod": integer_mod,
    "real_div": integer_div,
}
del BINARY_INTEGER["pow"]

COMPARISON: dict[str, Any] = {
    "equal": np.equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "not_equal": np.not_equal,
}

LOGICAL: dict[str, Any] = {
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}


def log_sum_exp(x: np.ndarray, axis: tuple[int, ...], keepdims: bool) -> np.ndarray:
    largest = np.max(x, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(x - largest), axis=axis, keepdims=True)) + largest
    return total if keepdims else np.squeeze(total, axis=axis)


REDUCTION: dict[str, Any] = {
    "reduce_l1_norm": lambda x, axis, keepdims: np.sum(np.abs(x), axis=axis, keepdims=keepdims),
    "reduce_l2_norm": lambda x, axis, keepdims: np.sqrt(
        np.sum(x * x, axis=axis, keepdims=keepdims)
    ),
    "reduce_log_sum": lambda x, axis, keepdims: np.log(np.sum(x, axis=axis, keepdims=keepdims)),
    "reduce_log_sum_exp": log_sum_exp,
    "reduce_max": lambda x, axis, keepdims: np.max(x, axis=axis, keepdims=keepdims),
    "reduce_mean": lambda x, axis, keepdims: np.mean(x, axis=axis, keepdims=keepdims),
    "reduce_min": lambda x, axis, keepdims: np.min(x, axis=axis, keepdims=keepdims),
    "reduce_prod": lambda x, axis, keepdims: np.prod(x, axis=axis, keepdims=keepdims),
    "reduce_sum": lambda x, axis, keepdims: np.sum(x, axis=axis, keepdims=keepdims),
    "reduce_sum_square": lambda x, axis, keepdims: np.sum(x * x, axis=axis, keepdims=keepdims),
}


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def layer_norm(
    x: np.ndarray,
    axes: Sequence[int],
    gamma: np.ndarray | None = None,
    beta: np.ndarray | None = None,
    epsilon: float = 1e-5,
) -> np.ndarray:
    axis = tuple(sorted(a % x.ndim for a in axes))
    mean = np.mean(x, axis=axis, keepdims=True)
    variance = np.mean((x - mean) ** 2, axis=axis, keepdims=True)
    y = (x - mean) / np.sqrt(variance + epsilon)
    shape = [x.shape[i] if i in axis else 1 for i in range(x.ndim)]
    if gamma is not None:
        y = y * gamma.reshape(shape)
    if beta is not None:
        y = y + beta.reshape(shape)
    return y


def per_channel(vector: np.ndarray, rank: int) -> np.ndarray:
    return vector.reshape([1, -1] + [1] * (rank - 2))


def instance_norm(x, gamma=None, beta=None, epsilon: float = 1e-5) -> np.ndarray:
    y = layer_norm(x, range(2, x.ndim), epsilon=epsilon)
    if gamma is not None:
        y = y * per_channel(gamma, x.ndim)
    return y if beta is None else y + per_channel(beta, x.ndim)


def batch_norm(x, mean, variance, gamma=None, beta=None, epsilon: float = 1e-5) -> np.ndarray:
    y = (x - per_channel(mean, x.ndim)) / np.sqrt(per_channel(variance, x.ndim) + epsilon)
    if gamma is not None:
        y = y * per_channel(gamma, x.ndim)
    return y if beta is None else y + per_channel(beta, x.ndim)


def l2_norm(x: np.ndarray, epsilon: float = 1e-6) -> np.ndarray:
    return x / np.sqrt(np.sum(x * x, axis=(-3, -2, -1), keepdims=True) + epsilon)


def gather(x: np.ndarray, indices: np.ndarray, axis: int = 0, batch_dims: int = 0) -> np.ndarray:
    axis %= x.ndim
    if batch_dims == 0:
        return np.take(x, np.where(indices < 0, indices + x.shape[axis], indices), axis=axis)
    return np.stack(
        [
            gather(row, index, axis - 1, batch_dims - 1)
            for row, index in zip(x, indices, strict=True)
        ]
    )


def gather_nd(x: np.ndarray, indices: np.ndarray, batch_dims: int = 0) -> np.ndarray:
    if batch_dims > 0:
        return np.stack(
            [gather_nd(row, index, batch_dims - 1) for row, index in zip(x, indices, strict=True)]
        )
    return x[tuple(np.moveaxis(indices, -1, 0))]


def depth_to_space(x: np.ndarray, block_size: int) -> np.ndarray:
    n, c, h, w = x.shape
    b = block_size
    y = x.reshape(n, b, b, c // (b * b), h, w)
    return y.transpose(0, 3, 4, 1, 5, 2).reshape(n, c // (b * b), h * b, w * b)


def pixel_shuffle(x: np.ndarray, upscale_factor: int) -> np.ndarray:
    n, c, h, w = x.shape
    b = upscale_factor
    y = x.reshape(n, c // (b * b), b, b, h, w)
    return y.transpose(0, 1, 4, 2, 5, 3).reshape(n, c // (b * b), h * b, w * b)


def space_to_depth(x: np.ndarray, block_size: int) -> np.ndarray:
    n, c, h, w = x.shape
    b = block_size
    y = x.reshape(n, c, h // b, b, w // b, b)
    return y.transpose(0, 3, 5, 1, 2, 4).reshape(n, c * b * b, h // b, w // b)


def pixel_unshuffle(x: np.ndarray, downscale_factor: int) -> np.ndarray:
    n, c, h, w = x.shape
    b = downscale_factor
    y = x.reshape(n, c, h // b, b, w // b, b)
    return y.transpose(0, 1, 3, 5, 2, 4).reshape(n, c * b * b, h // b, w // b)
