"""The kernels of a layer, forward and backward, of both pipelines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from . import attention, feed_forward, norm_backward
from .definition import KernelDefinition, fuse

if TYPE_CHECKING:
    from ..config import Config

FORWARD = (
    KernelDefinition(
        name="sdpaFwd",
        body=attention.sdpa_forward,
        inputs=("xin",),
        weights=("rmsatt", "wk", "wo", "wq", "wv"),
        outputs=("attn", "key", "probs", "query", "value", "xmid", "xnatt"),
    ),
    KernelDefinition(
        name="ffnW13",
        body=feed_forward.ffn_w13,
        inputs=("xmid",),
        weights=("rmsffn", "w1", "w3"),
        outputs=("h1", "h3", "hgate", "xnffn"),
    ),
    KernelDefinition(
        name="ffnW2",
        body=feed_forward.ffn_w2,
        inputs=("hgate", "xmid"),
        weights=("w2",),
        outputs=("xout",),
    ),
)
BACKWARD = (
    KernelDefinition(
        name="ffnBwdW2t",
        body=feed_forward.ffn_backward_w2t,
        inputs=("dxout", "h1", "h3"),
        weights=("w2",),
        outputs=("dh1", "dh3"),
    ),
    KernelDefinition(
        name="ffnBwdW13t",
        body=feed_forward.ffn_backward_w13t,
        inputs=("dh1", "dh3"),
        weights=("w1", "w3"),
        outputs=("dxnffn",),
    ),
    KernelDefinition(
        name="wotBwd",
        body=attention.wot_backward,
        inputs=("dxmid",),
        weights=("wo",),
        outputs=("dattn",),
    ),
    KernelDefinition(
        name="sdpaBwd1",
        body=attention.sdpa_backward1,
        inputs=("attn", "dattn", "probs", "value"),
        weights=(),
        outputs=("dscores", "dvalue"),
    ),
    KernelDefinition(
        name="sdpaBwd2",
        body=attention.sdpa_backward2,
        inputs=("dscores", "key", "query"),
        weights=(),
        outputs=("dkey", "dquery"),
    ),
    KernelDefinition(
        name="qkvBwd",
        body=attention.qkv_backward,
        inputs=("dkey", "dquery", "dvalue"),
        weights=("wk", "wq", "wv"),
        outputs=("dxnatt",),
    ),
)
# RMSNorm's backward pass on the device, after ffnBwdW13t and qkvBwd.
NORM_BACKWARD = {
    "ffnBwdW13t": KernelDefinition(
        name="rmsFfnBwd",
        body=norm_backward.ffn_norm_backward,
        inputs=("dxnffn", "xmid"),
        weights=("rmsffn",),
        outputs=("dwffn", "dxffn"),
    ),
    "qkvBwd": KernelDefinition(
        name="rmsAttBwd",
        body=norm_backward.attention_norm_backward,
        inputs=("dxnatt", "xin"),
        weights=("rmsatt",),
        outputs=("dwatt", "dxatt"),
    ),
}


def forward_kernels(config: Config) -> tuple[KernelDefinition, ...]:
    """The forward kernels of a layer in their order."""
    sdpa, *rest = FORWARD
    if config.qk_norm:
        sdpa = replace(
            sdpa,
            weights=(*sdpa.weights, "rmsk", "rmsq"),
            outputs=(*sdpa.outputs, "kraw", "qraw"),
        )
    return (sdpa, *rest)


def backward_kernels(config: Config, *, with_norms: bool = False) -> tuple[KernelDefinition, ...]:
    """The backward kernels of a layer in their order.

    Args:
        config: Sizes.
        with_norms: The layer's two RMSNorms are taken back on the device, too.
    """
    kernels: list[KernelDefinition] = []
    for kernel in BACKWARD:
        if config.qk_norm and kernel.name == "sdpaBwd2":
            kernels.append(replace(kernel, outputs=("dknorm", "dqnorm")))
        else:
            kernels.append(kernel)
        if with_norms and kernel.name in NORM_BACKWARD:
            kernels.append(NORM_BACKWARD[kernel.name])
    return tuple(kernels)


def static_forward_kernels(config: Config) -> tuple[KernelDefinition, ...]:
    """Two programs: the feed-forward half is one, since each costs a compilation per step."""
    sdpa, w13, w2 = forward_kernels(config)
    return sdpa, fuse("ffnFwd", (w13, w2), (*w13.outputs, *w2.outputs))


def static_backward_kernels(
    config: Config, *, with_norms: bool = False
) -> tuple[KernelDefinition, ...]:
    """Four programs; sdpaBwd2 has no weights and stays by itself, compiled once for all layers."""
    named = {kernel.name: kernel for kernel in backward_kernels(config, with_norms=with_norms)}
    ffn = [named["ffnBwdW2t"], named["ffnBwdW13t"]]
    qkv = [named["qkvBwd"]]
    ffn_outputs: tuple[str, ...] = ("dh1", "dh3", "dxnffn")
    qkv_outputs: tuple[str, ...] = ("dxnatt",)
    if with_norms:
        ffn.append(named["rmsFfnBwd"])
        qkv.append(named["rmsAttBwd"])
        ffn_outputs, qkv_outputs = ("dh1", "dh3", "dwffn", "dxffn"), ("dwatt", "dxatt")
    return (
        fuse("ffnBwd", tuple(ffn), ffn_outputs),
        fuse("sdpaBwd1", (named["wotBwd"], named["sdpaBwd1"]), named["sdpaBwd1"].outputs),
        named["sdpaBwd2"],
        fuse("qkvBwd", tuple(qkv), qkv_outputs),
    )
