"""Floating-point operations of a training step; a multiply-add counts two.

Matrix products only, as upstream's report counts. With T = B S tokens, per layer

    linear     2 T (2 C Q + 2 C K + 3 C F)    wq wo, wk wv, w1 w2 w3; Q = H D, K = KV heads * D
    attention  2 B S^2 Q                      one product of [S, D] and [D, S] per head

The forward pass takes `linear` and 2 `attention` (scores, mixing), the backward pass by the inputs
`linear` and 4 `attention` (dprobs, dvalue, dquery, dkey), the weight gradients `linear`. The
classifier takes 2 T C V three times: forward, by its input, by its weight. The causal half of the
scores that is masked is computed, by the engine as by the emulator, and counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config import Config


@dataclass(frozen=True)
class Flops:
    """Operations of one forward and backward pass over a micro-batch.

    Attributes:
        ane: On the device.
        total: Device and CPU.
    """

    ane: int
    total: int


def training_flops(config: Config, batch: int, positions: int, *, cls_on_ane: bool) -> Flops:
    """Operations of `Model.loss_and_gradients` for `batch` sequences of `positions` tokens."""
    tokens = batch * positions
    q_dim, kv_dim = config.q_dim, config.kv_dim
    weights = config.dim * (2 * q_dim + 2 * kv_dim + 3 * config.hidden_dim)
    linear = 2 * tokens * weights * config.n_layers
    attention = 2 * batch * positions**2 * q_dim * config.n_layers
    classifier = 2 * tokens * config.dim * config.vocab_size
    ane = 2 * linear + 6 * attention
    total = ane + linear + 3 * classifier
    return Flops(ane + 2 * classifier if cls_on_ane else ane, total)
