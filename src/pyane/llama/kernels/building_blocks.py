"""Parts that the layer kernels are made of, as MIL builder expressions.

Shape letters: B sequences, C channels (I in, O out), S positions, H query heads, K KV heads,
G = H / K, D head dim. Activations are [B, C, 1, S] fp16.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ... import mil
from ..checkpoint import rope_tables
from .matrices import ConstantMatrix, TransposedMatrix

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...mil import Var
    from .matrices import Matrix

# Added to the scores of later positions before softmax. Finite, because the engine computes
# inf - inf = 0 (docs/numerics.md), and far below any score: exp(-1e4) is 0 in fp16 even when a row's
# scores spread over thousands.
MASKED = -1.0e4

# RMSNorm divides by the largest channel, but by no less than this: small inputs keep their bits.
_SMALLEST_PEAK = 2.0**-4


def dims(x: Var) -> tuple[int, ...]:
    """Shape of a value; every kernel here knows all its sizes."""
    return tuple(dim for dim in x.shape if dim is not None)


def linear(weight: Matrix, x: Var, *, name: str | None = None) -> Var:
    """W x at every position: weight [1, 1, O, I], x [B, I, 1, S] -> [B, O, 1, S]."""
    return _matrix_product(weight, x, transpose=False, name=name)


def linear_transposed(weight: Matrix, x: Var, *, name: str | None = None) -> Var:
    """W^T x, the backward pass of `linear`, with the same weight: [B, O, 1, S] -> [B, I, 1, S]."""
    return _matrix_product(weight, x, transpose=True, name=name)


def _matrix_product(weight: Matrix, x: Var, *, transpose: bool, name: str | None) -> Var:
    if isinstance(weight, ConstantMatrix):
        return weight.product(x, transpose=transpose, name=name)
    if isinstance(weight, TransposedMatrix):
        weight, transpose = weight.value, not transpose
    batch, channels, _, positions = dims(x)
    columns = mil.reshape(x=x, shape=[batch, 1, channels, positions])
    y = mil.matmul(x=weight, y=columns, transpose_x=transpose, transpose_y=False)
    return mil.reshape(x=y, shape=[batch, dims(y)[2], 1, positions], name=name)


def inverse_root_mean_square(x: Var, eps: float) -> tuple[Var, Var]:
    """1 / sqrt(mean_c (x_c / p)^2 + eps / p^2) and p, the largest |x_c|: [B, 1, 1, S] each.

    Their quotient is 1 / sqrt(mean_c x_c^2 + eps), without squares that leave fp16's range.
    """
    magnitude = mil.maximum(x=x, y=mil.mul(x=x, y=np.float16(-1.0)))
    peak = mil.maximum(
        x=mil.reduce_max(x=magnitude, axes=[1], keep_dims=True), y=np.float16(_SMALLEST_PEAK)
    )
    scaled = mil.real_div(x=x, y=peak)
    mean_square = mil.reduce_mean(x=mil.mul(x=scaled, y=scaled), axes=[1], keep_dims=True)
    root_eps = mil.real_div(x=np.float16(math.sqrt(eps)), y=peak)
    # pow, not rsqrt: the engine's compiler is reported to refuse rsqrt after a reduction (M4 Max).
    inverse = mil.pow(
        x=mil.add(x=mean_square, y=mil.mul(x=root_eps, y=root_eps)), y=np.float16(-0.5)
    )
    return inverse, peak


def rmsnorm(x: Var, weight: Var, eps: float, *, name: str | None = None) -> Var:
    """weight_c x_c / sqrt(mean_k x_k^2 + eps): x [B, C, 1, S], weight [1, 1, 1, C].

    Divides by the largest magnitude of each position first, which changes nothing but the range:
    x^2 alone would overflow fp16 from |x| = 256 on, without a trace in the result but zeros.
    """
    inverse, peak = inverse_root_mean_square(x, eps)
    # The weight travels as a row: a tensor of width 1 is what the engine handles worst.
    column = mil.reshape(x=weight, shape=[1, dims(weight)[3], 1, 1])
    return mil.mul(x=mil.mul(x=x, y=mil.real_div(x=inverse, y=peak)), y=column, name=name)


def head_rmsnorm(x: Var, weight: Var, eps: float) -> Var:
    """`rmsnorm` of every head by itself: x [B, heads * D, 1, S], weight [1, 1, 1, D]."""
    batch, channels, _, positions = dims(x)
    head_dim = dims(weight)[3]
    heads = mil.reshape(x=x, shape=[batch * channels // head_dim, head_dim, 1, positions])
    return mil.reshape(x=rmsnorm(heads, weight, eps), shape=[batch, channels, 1, positions])


class Rope:
    """Rotary position embedding: channel pairs (2i, 2i + 1) of a head turn with the position."""

    def __init__(self, positions: int, head_dim: int, theta: float) -> None:
        cos, sin = rope_tables(positions, head_dim, theta)
        self._shape = (1, 1, head_dim // 2, 1, positions)
        self._cos = cos.T.astype(np.float64)
        self._sin = sin.T.astype(np.float64)
        self._head_dim = head_dim

    def _table(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float16]:
        return values.reshape(self._shape).astype(np.float16)

    def __call__(
        self, x: Var, *, factor: float = 1.0, inverse: bool = False, name: str | None = None
    ) -> Var:
        """Turns x [B, heads * D, 1, S] and multiplies by `factor`, which costs nothing here.

        The inverse is the transpose too, so it is the backward pass.
        """
        batch, channels, _, positions = dims(x)
        heads = channels // self._head_dim
        pairs = mil.reshape(x=x, shape=[batch, heads, self._head_dim // 2, 2, positions])
        even, odd = mil.split(x=pairs, num_splits=2, axis=3)
        cos = self._table(factor * self._cos)
        sin = self._table((-factor if inverse else factor) * self._sin)
        turned = mil.concat(
            values=[
                mil.sub(x=mil.mul(x=even, y=cos), y=mil.mul(x=odd, y=sin)),
                mil.add(x=mil.mul(x=odd, y=cos), y=mil.mul(x=even, y=sin)),
            ],
            axis=3,
        )
        return mil.reshape(x=turned, shape=[batch, channels, 1, positions], name=name)


def split_heads(x: Var, n_kv_heads: int, head_dim: int) -> Var:
    """[B, H * D, 1, S] -> [B * K, G, D, S]: the heads that share a KV head, side by side.

    Products with [B * K, 1, D, S] of keys or values broadcast over G: no KV head is repeated.
    """
    batch, channels, _, positions = dims(x)
    group = channels // (n_kv_heads * head_dim)
    return mil.reshape(x=x, shape=[batch * n_kv_heads, group, head_dim, positions])


def merge_heads(x: Var, batch: int, *, name: str | None = None) -> Var:
    """[B * K, G, D, S] -> [B, H * D, 1, S]."""
    rows, group, head_dim, positions = dims(x)
    channels = rows // batch * group * head_dim
    return mil.reshape(x=x, shape=[batch, channels, 1, positions], name=name)


def causal_softmax(query: Var, key: Var, *, name: str | None = None) -> Var:
    """Causal softmax over j of query[:, i] . key[:, j], j <= i: [B * K, G, S, S].

    Decomposed, because the engine's own attention ignores a mask (docs/ane.md).
    `query` [B * K, G, D, S] is scaled by 1 / sqrt(D) already, `key` is [B * K, 1, D, S].
    """
    positions = dims(query)[3]
    scores = mil.matmul(x=query, y=key, transpose_x=True, transpose_y=False)
    mask = np.triu(np.full((1, 1, positions, positions), MASKED, np.float16), 1)
    return mil.softmax(x=mil.add(x=scores, y=mask), axis=-1, name=name)


def sum_group(x: Var) -> Var:
    """[B * K, G, D, S] -> [B * K, 1, D, S]: what a KV head's G query heads send back to it."""
    return x if dims(x)[1] == 1 else mil.reduce_sum(x=x, axes=[1], keep_dims=True)
