"""RMSNorm's backward pass as a kernel. Shape letters: building_blocks.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import mil
from . import building_blocks as blocks

if TYPE_CHECKING:
    from ...mil import Var
    from .definition import KernelShape


def ffn_norm_backward(
    shape: KernelShape, *, dxnffn: Var, xmid: Var, rmsffn: Var
) -> tuple[Var, ...]:
    """What the norm before the feed-forward half adds to the stream's and its weight's gradient."""
    return _rmsnorm_backward(dxnffn, xmid, rmsffn, shape.config.norm_eps, "ffn")


def attention_norm_backward(
    shape: KernelShape, *, dxnatt: Var, xin: Var, rmsatt: Var
) -> tuple[Var, ...]:
    """The same for the norm before attention."""
    return _rmsnorm_backward(dxnatt, xin, rmsatt, shape.config.norm_eps, "att")


def _rmsnorm_backward(dy: Var, x: Var, weight: Var, eps: float, suffix: str) -> tuple[Var, ...]:
    """`dw` [1, 1, B, C] and `dx`; sequences are added up in fp32 outside.

    With r = 1 / sqrt(mean_c x^2 + eps), u = x r and g = weight dy:
    dw[b, c] = sum_s dy u, dx = (g - u mean_c(g u)) r. Source: Zhang & Sennrich 2019,
    arXiv:1910.07467.
    """
    batch, channels, _, _ = blocks.dims(x)
    inverse, peak = blocks.inverse_root_mean_square(x, eps)
    r = mil.real_div(x=inverse, y=peak)
    u = mil.mul(x=x, y=r)
    column = mil.reshape(x=weight, shape=[1, channels, 1, 1])
    g = mil.mul(x=dy, y=column)
    mean = mil.reduce_mean(x=mil.mul(x=g, y=u), axes=[1], keep_dims=True)
    dx = mil.mul(x=mil.sub(x=g, y=mil.mul(x=u, y=mean)), y=r, name=f"dx{suffix}")
    sums = mil.reduce_sum(x=mil.mul(x=dy, y=u), axes=[3], keep_dims=True)
    dw = mil.reshape(x=sums, shape=[1, 1, batch, channels], name=f"dw{suffix}")
    return dw, dx
