"""What each kernel of a layer reads and writes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .building_blocks import split_heads

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...mil import Var
    from ..config import Config


@dataclass(frozen=True)
class KernelShape:
    """Sizes that a set of kernels is compiled for.

    Attributes:
        config: The model's sizes.
        batch: Sequences B.
        positions: Positions S.
        classifier_rows: Rows V' of the classifier that one program takes, where the device has it.
    """

    config: Config
    batch: int
    positions: int
    classifier_rows: int = 1

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
        norm_gradient = (1, 1, self.batch, config.dim)
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
            "wcls": (1, 1, self.classifier_rows, config.dim),
            "logits": (self.batch, 1, self.positions, self.classifier_rows),
            "dlogits": (self.batch, 1, self.positions, self.classifier_rows),
            "probs": scores,
            "dscores": scores,
        }
        shapes |= dict.fromkeys(("xin", "xnatt", "xmid", "xnffn", "xout"), stream)
        shapes |= dict.fromkeys(("dxnatt", "dxmid", "dxnffn", "dxout"), stream)
        shapes |= dict.fromkeys(("dxatt", "dxffn", "xncls", "dxncls"), stream)
        shapes |= dict.fromkeys(("dwatt", "dwffn"), norm_gradient)
        shapes |= dict.fromkeys(("query", "qraw", "attn", "dquery", "dqnorm", "dattn"), query)
        shapes |= dict.fromkeys(("key", "kraw", "value", "dkey", "dknorm", "dvalue"), keys)
        shapes |= dict.fromkeys(("h1", "h3", "hgate", "dh1", "dh3"), hidden)
        return shapes


@dataclass(frozen=True)
class KernelDefinition:
    """One of the programs of a layer. How its tensors enter and leave: interface.py.

    Attributes:
        name: As in upstream's benchmark report.
        body: Builds the results, in the order of `outputs`, from a KernelShape and the inputs by
            name.
        inputs: Names of the activations it reads.
        weights: Names of the weights it reads.
        outputs: Names of what it writes.
    """

    name: str
    body: Callable[..., tuple[Var, ...]]
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    outputs: tuple[str, ...]


def fuse(
    name: str, kernels: tuple[KernelDefinition, ...], outputs: tuple[str, ...]
) -> KernelDefinition:
    """One program of several kernels, each reading what those before it computed.

    The same operations on the same numbers: results are the same bits as of the kernels by
    themselves, since every intermediate result is fp16 on the device anyway.

    Args:
        name: Of the new kernel.
        kernels: In their order.
        outputs: Results that leave the program, of those of all kernels.
    """
    made = [name for kernel in kernels for name in kernel.outputs]
    inputs = dict.fromkeys(name for kernel in kernels for name in kernel.inputs)
    weights = dict.fromkeys(name for kernel in kernels for name in kernel.weights)

    def body(shape: KernelShape, **values: Any) -> tuple[Var, ...]:
        for kernel in kernels:
            given = {key: values[key] for key in kernel.inputs + kernel.weights}
            results = kernel.body(shape, **given)
            values |= dict(zip(kernel.outputs, results, strict=True))
        return tuple(values[key] for key in outputs)

    return KernelDefinition(
        name=name,
        body=body,
        inputs=tuple(key for key in inputs if key not in made),
        weights=tuple(sorted(weights)),
        outputs=outputs,
    )
