"""Kernels of the attention half of a layer. Shape letters: building_blocks.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import mil
from . import building_blocks as blocks

if TYPE_CHECKING:
    from ...mil import Var
    from .definition import KernelShape
    from .matrices import Matrix


def sdpa_forward(
    shape: KernelShape,
    *,
    rmsatt: Var,
    wk: Matrix,
    wo: Matrix,
    wq: Matrix,
    wv: Matrix,
    xin: Var,
    rmsk: Var | None = None,
    rmsq: Var | None = None,
) -> tuple[Var, ...]:
    """`xmid` = xin + Wo attention(rmsnorm(xin)).

    Besides, for the backward pass: `xnatt` (normalised), `query` (turned, times 1 / sqrt(D)), `key`
    (turned), `value`, `probs` (after softmax), `attn` (what enters Wo). Keeping the probabilities
    costs S^2 numbers per head, less than half the work of computing them again.

    With `rmsq` and `rmsk`, queries and keys are normalised head by head before they are turned, and
    `qraw` and `kraw`, what enters these norms, are kept as well.
    """
    config = shape.config
    rope = blocks.Rope(shape.positions, config.head_dim, config.rope_theta)
    xnatt = blocks.rmsnorm(xin, rmsatt, config.norm_eps, name="xnatt")
    raw: tuple[Var, ...] = ()
    if rmsq is None or rmsk is None:
        query, key = blocks.linear(wq, xnatt), blocks.linear(wk, xnatt)
    else:
        raw = blocks.linear(wk, xnatt, name="kraw"), blocks.linear(wq, xnatt, name="qraw")
        key = blocks.head_rmsnorm(raw[0], rmsk, config.norm_eps)
        query = blocks.head_rmsnorm(raw[1], rmsq, config.norm_eps)
    query = rope(query, factor=shape.query_factor, name="query")
    key = rope(key, name="key")
    value = blocks.linear(wv, xnatt, name="value")
    probs = blocks.causal_softmax(shape.heads(query), shape.heads(key), name="probs")
    # attn[d, i] = sum_j value[d, j] probs[i, j]
    mixed = mil.matmul(x=shape.heads(value), y=probs, transpose_x=False, transpose_y=True)
    attn = blocks.merge_heads(mixed, shape.batch, name="attn")
    xmid = mil.add(x=xin, y=blocks.linear(wo, attn), name="xmid")
    return (attn, key, probs, query, value, xmid, xnatt, *raw)


def wot_backward(_shape: KernelShape, *, dxmid: Var, wo: Matrix) -> tuple[Var, ...]:
    """`dattn` = Wo^T dxmid."""
    return (blocks.linear_transposed(wo, dxmid, name="dattn"),)


def sdpa_backward1(
    shape: KernelShape, *, attn: Var, dattn: Var, probs: Var, value: Var
) -> tuple[Var, ...]:
    """Gradients of the values, and of the scores before softmax.

    `dscores` = probs (dprobs - sum_j probs dprobs), where the sum over j of probs (dattn . value_j)
    is dattn . attn: a sum over D instead of one over S for every pair of positions.
    Source: Dao et al. 2022, arXiv:2205.14135, appendix B.2.
    """
    doutput = shape.heads(dattn)
    # dprobs[i, j] = sum_d dattn[d, i] value[d, j];  dvalue[d, j] = sum_{g, i} dattn[d, i] probs[i, j]
    dprobs = mil.matmul(x=doutput, y=shape.heads(value), transpose_x=True, transpose_y=False)
    dvalue = blocks.sum_group(mil.matmul(x=doutput, y=probs, transpose_x=False, transpose_y=False))
    mean = mil.reduce_sum(x=mil.mul(x=doutput, y=shape.heads(attn)), axes=[2], keep_dims=True)
    # [..., 1, S] -> [..., S, 1]: one number per query.
    rows, group, _, positions = blocks.dims(mean)
    column = mil.reshape(x=mean, shape=[rows, group, positions, 1])
    dscores = mil.mul(x=probs, y=mil.sub(x=dprobs, y=column), name="dscores")
    return dscores, blocks.merge_heads(dvalue, shape.batch, name="dvalue")


def sdpa_backward2(shape: KernelShape, *, dscores: Var, key: Var, query: Var) -> tuple[Var, ...]:
    """`dquery` and `dkey` as they left Wq and Wk: turned back, unscaled.

    With QK-norm these are gradients of the norms' results, `dqnorm` and `dknorm`; the CPU takes them
    through the norms (../backward.py).
    """
    config = shape.config
    names = ("dknorm", "dqnorm") if config.qk_norm else ("dkey", "dquery")
    rope = blocks.Rope(shape.positions, config.head_dim, config.rope_theta)
    # dquery[d, i] = sum_j key[d, j] dscores[i, j];  dkey[d, j] = sum_{g, i} query[d, i] dscores[i, j]
    dquery = mil.matmul(x=shape.heads(key), y=dscores, transpose_x=False, transpose_y=True)
    dkey = mil.matmul(x=shape.heads(query), y=dscores, transpose_x=False, transpose_y=False)
    return (
        rope(blocks.merge_heads(blocks.sum_group(dkey), shape.batch), inverse=True, name=names[0]),
        rope(
            blocks.merge_heads(dquery, shape.batch),
            factor=shape.query_factor,
            inverse=True,
            name=names[1],
        ),
    )


def qkv_backward(
    _shape: KernelShape,
    *,
    dkey: Var,
    dquery: Var,
    dvalue: Var,
    wk: Matrix,
    wq: Matrix,
    wv: Matrix,
) -> tuple[Var, ...]:
    """`dxnatt` = Wq^T dquery + Wk^T dkey + Wv^T dvalue."""
    by_key_and_value = mil.add(
        x=blocks.linear_transposed(wk, dkey), y=blocks.linear_transposed(wv, dvalue)
    )
    return (mil.add(x=blocks.linear_transposed(wq, dquery), y=by_key_and_value, name="dxnatt"),)
