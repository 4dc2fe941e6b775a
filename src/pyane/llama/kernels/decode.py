"""A whole layer for positions that follow others: what generation runs.

Shape letters: building_blocks.py; P new positions, T places of the cache.

Keys and values of earlier positions come from a cache, so that a new token costs one position and not
all of them again. The cache's places are filled from the front; `mask` hides the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ... import mil
from . import building_blocks as blocks
from .definition import KernelShape
from .layer import forward_kernels

if TYPE_CHECKING:
    from ...mil import Program, Var
    from ..config import Config


@dataclass(frozen=True)
class DecodeShape:
    """Sizes that a decode kernel is compiled for.

    Attributes:
        config: The model's sizes.
        positions: New positions P.
        cached: Places T in the cache; 0: nothing came before.
    """

    config: Config
    positions: int
    cached: int

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the weights it reads: those of a layer's forward kernels."""
        return tuple(name for kernel in forward_kernels(self.config) for name in kernel.weights)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what else it reads."""
        return ("rope", "xin", *(("keys", "mask", "values") if self.cached else ()))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it writes: the new positions' keys and values, and the stream."""
        return ("key", "value", "xout")

    def tensor_shapes(self) -> dict[str, tuple[int, int, int, int]]:
        """Shape of every tensor that enters or leaves the kernel, weights included.

        `rope` holds four tables of D/2 rows, one column per new position: cosines and sines for the
        keys, then the same divided by sqrt(D) for the queries.
        """
        config = self.config
        shapes = KernelShape(config, 1, self.positions).tensor_shapes()
        shapes = {name: shapes[name] for name in ("xin", *self.weights, *self.outputs)}
        shapes["rope"] = (1, 2 * config.head_dim, 1, self.positions)
        if self.cached:
            shapes["keys"] = shapes["values"] = (1, config.kv_dim, 1, self.cached)
            shapes["mask"] = (1, 1, 1, self.cached)
        return shapes

    def program(self) -> Program:
        """The kernel with weights as inputs, in MIL."""
        shapes = self.tensor_shapes()
        specs = {name: mil.fp16[shapes[name]] for name in sorted(self.inputs + self.weights)}

        def build(**inputs: Var) -> tuple[Var, ...]:
            return decode_layer(self, **inputs)

        return mil.build(build, specs)


def rope_rows(
    cos: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    sin: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float16]]:
    """The input `rope` for tables [P, D/2]: [2 D, P], rounded as `building_blocks.Rope` does."""
    factor = 1.0 / math.sqrt(2 * cos.shape[1])
    tables = np.concatenate([cos.T, sin.T]).astype(np.float64)
    return np.concatenate([tables, factor * tables]).astype(np.float16)


def decode_layer(shape: DecodeShape, *, rope: Var, xin: Var, **inputs: Var) -> tuple[Var, ...]:
    """`xout`, and the `key` (turned) and `value` of the new positions."""
    config, w = shape.config, inputs
    cos_key, sin_key, cos_query, sin_query = mil.split(x=rope, num_splits=4, axis=1)
    xnatt = blocks.rmsnorm(xin, w["rmsatt"], config.norm_eps)
    query, key = blocks.linear(w["wq"], xnatt), blocks.linear(w["wk"], xnatt)
    if config.qk_norm:
        query = blocks.head_rmsnorm(query, w["rmsq"], config.norm_eps)
        key = blocks.head_rmsnorm(key, w["rmsk"], config.norm_eps)
    query = _turn(query, cos_query, sin_query)
    key = _turn(key, cos_key, sin_key, name="key")
    value = blocks.linear(w["wv"], xnatt, name="value")

    def heads(x: Var) -> Var:
        return blocks.split_heads(x, config.n_kv_heads, config.head_dim)

    if shape.cached:
        mixed = _attend(
            heads(query), heads(w["keys"]), heads(w["values"]), w["mask"], heads(key), heads(value)
        )
    else:
        probs = blocks.causal_softmax(heads(query), heads(key))
        mixed = mil.matmul(x=heads(value), y=probs, transpose_x=False, transpose_y=True)
    attn = blocks.merge_heads(mixed, 1)
    xmid = mil.add(x=xin, y=blocks.linear(w["wo"], attn))
    xnffn = blocks.rmsnorm(xmid, w["rmsffn"], config.norm_eps)
    h1, h3 = blocks.linear(w["w1"], xnffn), blocks.linear(w["w3"], xnffn)
    hgate = mil.mul(x=mil.silu(x=h1), y=h3)
    xout = mil.add(x=xmid, y=blocks.linear(w["w2"], hgate), name="xout")
    return key, value, xout


def _turn(x: Var, cos: Var, sin: Var, *, name: str | None = None) -> Var:
    """RoPE with tables [1, D/2, 1, P]: pairs (2i, 2i + 1) of x [1, heads * D, 1, P] turn."""
    _, channels, _, positions = blocks.dims(x)
    half = blocks.dims(cos)[1]
    pairs = mil.reshape(x=x, shape=[1, channels // (2 * half), half, 2, positions])
    even, odd = mil.split(x=pairs, num_splits=2, axis=3)
    cos = mil.reshape(x=cos, shape=[1, 1, half, 1, positions])
    sin = mil.reshape(x=sin, shape=[1, 1, half, 1, positions])
    turned = mil.concat(
        values=[
            mil.sub(x=mil.mul(x=even, y=cos), y=mil.mul(x=odd, y=sin)),
            mil.add(x=mil.mul(x=odd, y=cos), y=mil.mul(x=even, y=sin)),
        ],
        axis=3,
    )
    return mil.reshape(x=turned, shape=[1, channels, 1, positions], name=name)


def _attend(query: Var, keys: Var, values: Var, mask: Var, key: Var, value: Var) -> Var:
    """Attention [K, G, D, P] to T cached and, causally, P new positions.

    One softmax over two pieces: both are shifted by the larger of their maxima and divided by the sum
    of both sums. Joining the scores instead would need a concat along the last axis, which some
    engines are reported to refuse (docs/ane.md).
    """
    positions = blocks.dims(query)[3]
    causal = np.triu(np.full((1, 1, positions, positions), blocks.MASKED, np.float16), 1)

    def scores(of: Var, hidden: Var | np.ndarray[tuple[int, ...], np.dtype[np.float16]]) -> Var:
        return mil.add(x=mil.matmul(x=query, y=of, transpose_x=True, transpose_y=False), y=hidden)

    old, new = scores(keys, mask), scores(key, causal)
    peak = mil.maximum(
        x=mil.reduce_max(x=old, axes=[3], keep_dims=True),
        y=mil.reduce_max(x=new, axes=[3], keep_dims=True),
    )
    old, new = (mil.exp(x=mil.sub(x=part, y=peak)) for part in (old, new))
    total = mil.add(
        x=mil.reduce_sum(x=old, axes=[3], keep_dims=True),
        y=mil.reduce_sum(x=new, axes=[3], keep_dims=True),
    )
    # Divided before the product: its sums then stay below the largest value, whatever T is.
    old, new = (mil.real_div(x=part, y=total) for part in (old, new))
    return mil.add(
        x=mil.matmul(x=values, y=old, transpose_x=False, transpose_y=True),
        y=mil.matmul(x=value, y=new, transpose_x=False, transpose_y=True),
    )
