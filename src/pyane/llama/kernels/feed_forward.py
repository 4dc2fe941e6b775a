"""Kernels of the SwiGLU half of a layer. Shape letters: building_blocks.py; F hidden channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ... import mil
from . import building_blocks as blocks

if TYPE_CHECKING:
    from ...mil import Var
    from .definition import KernelShape
    from .matrices import Matrix


def ffn_w13(
    shape: KernelShape, *, rmsffn: Var, w1: Matrix, w3: Matrix, xmid: Var
) -> tuple[Var, ...]:
    """`hgate` = silu(h1) h3 with h1 = W1 xnffn, h3 = W3 xnffn, xnffn = rmsnorm(xmid)."""
    xnffn = blocks.rmsnorm(xmid, rmsffn, shape.config.norm_eps, name="xnffn")
    h1 = blocks.linear(w1, xnffn, name="h1")
    h3 = blocks.linear(w3, xnffn, name="h3")
    return h1, h3, mil.mul(x=mil.silu(x=h1), y=h3, name="hgate"), xnffn


def ffn_w2(_shape: KernelShape, *, hgate: Var, w2: Matrix, xmid: Var) -> tuple[Var, ...]:
    """`xout` = xmid + W2 hgate."""
    return (mil.add(x=xmid, y=blocks.linear(w2, hgate), name="xout"),)


def ffn_backward_w2t(
    _shape: KernelShape,
    *,
    dxout: Var,
    h1: Var,
    h3: Var,
    w2: Matrix,
) -> tuple[Var, ...]:
    """dh1, dh3 from dhgate = W2^T dxout.

    With s = sigmoid(h1): d silu(h1) = s (1 + h1 (1 - s)).
    """
    dhgate = blocks.linear_transposed(w2, dxout)
    s = mil.sigmoid(x=h1)
    one = np.float16(1.0)
    dsilu = mil.mul(x=s, y=mil.add(x=mil.mul(x=h1, y=mil.sub(x=one, y=s)), y=one))
    return (
        mil.mul(x=dhgate, y=mil.mul(x=h3, y=dsilu), name="dh1"),
        mil.mul(x=dhgate, y=mil.mul(x=h1, y=s), name="dh3"),
    )


def ffn_backward_w13t(
    _shape: KernelShape,
    *,
    dh1: Var,
    dh3: Var,
    w1: Matrix,
    w3: Matrix,
) -> tuple[Var, ...]:
    """`dxnffn` = W1^T dh1 + W3^T dh3."""
    return (
        mil.add(
            x=blocks.linear_transposed(w1, dh1),
            y=blocks.linear_transposed(w3, dh3),
            name="dxnffn",
        ),
    )
