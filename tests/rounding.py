"""Running analysis of rounding errors: MIL operations on fp64 values that carry an error's variance.

A module with the functions of `pyane.mil` that the layer kernels use. Given to a kernel's body in
place of the builder, it follows every fp16 rounding on every path and so derives how far the device
may be from exact arithmetic, element by element. Values only scale the errors; what is right comes
from the references.

Errors are taken as independent and of mean zero, so variances add up. (Bounds that add up absolute
values hold without that, and are useless after the third matrix product.) Each result is rounded
once: a relative error spread evenly over [-U, U], or over half a subnormal step. Inside, an operation
works in fp32 with relative errors of at most FP32 (vectorised exp, sums in any order).

Source: Higham & Mary 2019, A new approach to probabilistic rounding error analysis, SIAM J. Sci.
Comput. 41(5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

U = 2.0**-11
HALF_SUBNORMAL = 2.0**-25
FP32 = 16 * 2.0**-24
# Largest of a million normal numbers: 4.9 standard deviations. The rest is for errors that are not
# independent: one factor of RMSNorm is shared by all channels of a position.
DEVIATIONS = 8.0


@dataclass
class Bounded:
    """A result near `value`, with the variance of its error."""

    value: np.ndarray
    variance: np.ndarray
    name: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def error(self) -> np.ndarray:
        """As far as the device may be from exact arithmetic."""
        return DEVIATIONS * np.sqrt(self.variance)


def exact(value: np.ndarray) -> Bounded:
    """An input: fp16 numbers as they are."""
    return Bounded(value.astype(np.float64), np.zeros(value.shape))


def constant(value: np.ndarray) -> Bounded:
    """A table that was rounded when it was made."""
    return _in(value)


def _spread(size: np.ndarray, inner: float = FP32) -> np.ndarray:
    """Variance of rounding numbers of this size."""
    return ((U + inner) ** 2 * size**2 + HALF_SUBNORMAL**2) / 3


def _in(x: Any) -> Bounded:
    if isinstance(x, Bounded):
        return x
    value = np.asarray(x, np.float64)  # a constant, rounded when it was made
    return Bounded(value, _spread(value))


def _rounded(
    value: np.ndarray, variance: np.ndarray, name: str | None, inner: float = FP32
) -> Bounded:
    return Bounded(value, variance + _spread(value, inner), name)


def add(*, x: Any, y: Any, name: str | None = None) -> Bounded:
    x, y = _in(x), _in(y)
    return _rounded(x.value + y.value, x.variance + y.variance, name)


def sub(*, x: Any, y: Any, name: str | None = None) -> Bounded:
    x, y = _in(x), _in(y)
    return _rounded(x.value - y.value, x.variance + y.variance, name)


def mul(*, x: Any, y: Any, name: str | None = None) -> Bounded:
    x, y = _in(x), _in(y)
    if x is y:  # a square: both factors have the same error
        return _rounded(x.value**2, 4 * x.value**2 * x.variance, name)
    return _rounded(x.value * y.value, x.value**2 * y.variance + y.value**2 * x.variance, name)


def real_div(*, x: Any, y: Any, name: str | None = None) -> Bounded:
    x, y = _in(x), _in(y)
    value = x.value / y.value
    return _rounded(value, (x.variance + value**2 * y.variance) / y.value**2, name)


def maximum(*, x: Any, y: Any, name: str | None = None) -> Bounded:
    x, y = _in(x), _in(y)  # copies one of them: no rounding
    both = Bounded(
        np.stack(np.broadcast_arrays(x.value, y.value)),
        np.stack(np.broadcast_arrays(x.variance, y.variance)),
    )
    result = reduce_max(x=both, axes=[0], keep_dims=False)
    return Bounded(result.value, result.variance, name)


def exp(*, x: Any, name: str | None = None) -> Bounded:
    value = np.exp(x.value)
    return _rounded(value, value**2 * x.variance, name)


def pow(*, x: Any, y: Any, name: str | None = None) -> Bounded:
    x = _in(x)
    value = x.value ** float(y)
    return _rounded(value, (float(y) * value / x.value) ** 2 * x.variance, name)


def sigmoid(*, x: Any, name: str | None = None) -> Bounded:
    s = 0.5 * (1 + np.tanh(0.5 * x.value))
    return _rounded(s, (s * (1 - s)) ** 2 * x.variance, name)


def silu(*, x: Any, name: str | None = None) -> Bounded:
    s = 0.5 * (1 + np.tanh(0.5 * x.value))
    slope = s * (1 + x.value * (1 - s))
    return _rounded(x.value * s, slope**2 * x.variance, name)


def reduce_max(*, x: Any, axes: list[int], keep_dims: bool, name: str | None = None) -> Bounded:
    at = {"axis": tuple(axes), "keepdims": keep_dims}
    # What may win, being near enough to the largest, decides how wrong the result may be.
    low = (x.value - x.error).max(axis=tuple(axes), keepdims=True)
    variance = np.where(x.value + x.error >= low, x.variance, 0.0)
    return Bounded(x.value.max(**at), variance.max(**at), name)


def reduce_sum(*, x: Any, axes: list[int], keep_dims: bool, name: str | None = None) -> Bounded:
    at = {"axis": tuple(axes), "keepdims": keep_dims}
    inner = (FP32 * np.abs(x.value).sum(**at)) ** 2
    return _rounded(x.value.sum(**at), x.variance.sum(**at) + inner, name)


def reduce_mean(*, x: Any, axes: list[int], keep_dims: bool, name: str | None = None) -> Bounded:
    n = math.prod(x.shape[axis] for axis in axes)
    at = {"axis": tuple(axes), "keepdims": keep_dims}
    return _rounded(x.value.mean(**at), x.variance.sum(**at) / n**2, name)


def matmul(
    *, x: Any, y: Any, transpose_x: bool, transpose_y: bool, name: str | None = None
) -> Bounded:
    def turn(a: np.ndarray, transposed: bool) -> np.ndarray:
        return np.swapaxes(a, -1, -2) if transposed else a

    a, va = turn(x.value, transpose_x), turn(x.variance, transpose_x)
    b, vb = turn(y.value, transpose_y), turn(y.variance, transpose_y)
    inner = FP32**2 * (a**2 @ b**2)
    return _rounded(a @ b, a**2 @ vb + va @ b**2 + inner, name)


def softmax(*, x: Any, axis: int, name: str | None = None) -> Bounded:
    weights = np.exp(x.value - x.value.max(axis=axis, keepdims=True))
    p = weights / weights.sum(axis=axis, keepdims=True)
    # d log p_i = d x_i - sum_j p_j d x_j. Masked elements are wrong by much and weigh nothing.
    relative = x.variance + np.sum(p**2 * x.variance, axis=axis, keepdims=True)
    return _rounded(p, p**2 * relative, name, inner=4 * FP32)


def reshape(*, x: Any, shape: list[int], name: str | None = None) -> Bounded:
    return Bounded(x.value.reshape(shape), x.variance.reshape(shape), name)


def transpose(*, x: Any, perm: list[int], name: str | None = None) -> Bounded:
    return Bounded(x.value.transpose(perm), x.variance.transpose(perm), name)


def split(*, x: Any, num_splits: int, axis: int) -> tuple[Bounded, ...]:
    values, variances = (np.split(a, num_splits, axis) for a in (x.value, x.variance))
    return tuple(Bounded(v, e) for v, e in zip(values, variances, strict=True))


def concat(*, values: list[Any], axis: int, name: str | None = None) -> Bounded:
    return Bounded(
        np.concatenate([v.value for v in values], axis),
        np.concatenate([v.variance for v in values], axis),
        name,
    )
