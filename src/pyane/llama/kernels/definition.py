"""What each kernel of a layer reads and writes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ... import mil
from . import attention, feed_forward
from .building_blocks import split_heads

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...mil import Program, Var
    from ..config import Config


@dataclass(frozen=True)
class KernelShape:
    """Sizes that a set of kernels is compiled for.

    Attributes:
        config: The model's sizes.
        batch: Sequences B.
        positions: Positions S.
    """

    config: Config
    batch: int
    positions: int

    @property
    def query_factor(self) -> float:
        """1 / sqrt(D), by which queries are scaled before their product with the keys."""
        return 1.0 / math.sqrt(self.config.head_dim)

    def heads(self, x: Var) -> Var:
        """[B, H * D, 1, S] of queries, keys or values -> [B * K, heads per KV head, D, S]."""
        return split_heads(x, self.config.n_kv_heads, self.config.head_dim)

    def activation(self, channels: int) -> tuple[int, int, int, int]:
        """[B, channels, 1, S]."""
        return (self.batch, channels, 1, self.positions)

    def tensor_shapes(self) -> dict[str, tuple[int, int, int, int]]:
        """Shape of every tensor that enters or leaves a kernel, weights included.

        A name means the same tensor in all kernels. Names are lower-case letters and single digits,
        so that every sort order agrees on them: the engine binds surfaces in alphabetical order.
        """
        config = self.config
        stream = self.activation(config.dim)
        query = self.activation(config.q_dim)
        keys = self.activation(config.kv_dim)
        hidden = self.activation(config.hidden_dim)
        group = config.n_heads // config.n_kv_heads
        scores = (self.batch * config.n_kv_heads, group, self.positions, self.positions)
        norm = (1, 1, 1, config.dim)
        shapes = {
            "rmsatt": norm,
            "rmsk": (1, 1, 1, config.head_dim),
            "rmsq": (1, 1, 1, config.head_dim),
            "wq": (1, 1, config.q_dim, config.dim),
            "wk": (1, 1, config.kv_dim, config.dim),
            "wv": (1, 1, config.kv_dim, config.dim),
            "wo": (1, 1, config.dim, config.q_dim),
            "rmsffn": norm,
            "w1": (1, 1, config.hidden_dim, config.dim),
            "w2": (1, 1, config.dim, config.hidden_dim),
            "w3": (1, 1, config.hidden_dim, config.dim),
            "probs": scores,
            "dscores": scores,
        }
        shapes |= dict.fromkeys(("xin", "xnatt", "xmid", "xnffn", "xout"), stream)
        shapes |= dict.fromkeys(("dxnatt", "dxmid", "dxnffn", "dxout"), stream)
        shapes |= dict.fromkeys(("query", "qraw", "attn", "dquery", "dqnorm", "dattn"), query)
        shapes |= dict.fromkeys(("key", "kraw", "value", "dkey", "dknorm", "dvalue"), keys)
        shapes |= dict.fromkeys(("h1", "h3", "hgate", "dh1", "dh3"), hidden)
        return shapes


@dataclass(frozen=True)
class KernelDefinition:
    """One of the nine programs of a layer.

    Attributes:
        name: As in upstream's benchmark report.
        body: Builds the results from a KernelShape and the inputs by name.
        inputs: Names of the activations it reads.
        weights: Names of the weights it reads.
        outputs: Names of what it writes.
    """

    name: str
    body: Callable[..., tuple[Var, ...]]
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    outputs: tuple[str, ...]

    def program(self, shape: KernelShape) -> Program:
        """The kernel with weights as inputs, in MIL."""
        shapes = shape.tensor_shapes()
        specs = {name: mil.fp16[shapes[name]] for name in sorted(self.inputs + self.weights)}

        def build(**inputs: Var) -> tuple[Var, ...] | Var:
            results = self.body(shape, **inputs)
            return results if len(results) > 1 else results[0]

        return mil.build(build, specs)


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


def backward_kernels(config: Config) -> tuple[KernelDefinition, ...]:
    """The backward kernels of a layer in their order."""
    if not config.qk_norm:
        return BACKWARD
    return tuple(
        replace(kernel, outputs=("dknorm", "dqnorm")) if kernel.name == "sdpaBwd2" else kernel
        for kernel in BACKWARD
    )
