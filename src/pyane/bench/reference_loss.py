"""Loss of a Llama 2 in NumPy from the formulas: what a training benchmark is checked against.

S positions, C channels, H query heads, K heads of keys, D channels of a head. fp32, which is a
thousand times finer than the fp16 under test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..llama import Parameters

    Array = npt.NDArray[Any]


def loss(parameters: Parameters, tokens: Array, targets: Array) -> float:
    """Mean negative log-likelihood in nats of `targets` [S] after `tokens` [S]."""
    p, config = parameters, parameters.config
    if config.qk_norm:
        msg = "reference_loss: models that normalise queries and keys are not supported"
        raise NotImplementedError(msg)
    x = p["token_embedding_table"][tokens]
    for layer in range(config.n_layers):
        h = _rmsnorm(x, p["rms_att_weight"][layer], config.norm_eps)
        heads = [(h @ p[name][layer].T).reshape(len(tokens), -1, config.head_dim) for name in _QKV]
        q, k = (_turn(head, config.rope_theta) for head in heads[:2])
        mixed = _attend(q, k, heads[2])
        x = x + mixed @ p["wo"][layer].T
        h = _rmsnorm(x, p["rms_ffn_weight"][layer], config.norm_eps)
        gate = h @ p["w1"][layer].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ p["w3"][layer].T)) @ p["w2"][layer].T
    x = _rmsnorm(x, p["rms_final_weight"], config.norm_eps)
    classifier = p["token_embedding_table" if config.tied_classifier else "wcls"]
    logits = (x @ classifier.T).astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    chosen = logits[np.arange(len(targets)), targets]
    return float(np.mean(np.log(np.exp(logits).sum(-1)) - chosen))


_QKV = ("wq", "wk", "wv")


def _rmsnorm(x: Array, weight: Array, eps: float) -> Array:
    """Over channels (Zhang & Sennrich 2019, arXiv:1910.07467)."""
    normed: Array = x / np.sqrt(np.mean(x * x, -1, keepdims=True) + eps) * weight
    return normed


def _turn(x: Array, theta: float) -> Array:
    """RoPE on pairs of neighbouring channels of [S, H, D] (Su et al. 2021, arXiv:2104.09864)."""
    positions, _, dim = x.shape
    angles = np.outer(np.arange(positions), theta ** (-np.arange(0, dim, 2) / dim))
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)[:, None]
    return np.stack([turned.real, turned.imag], -1).reshape(x.shape).astype(x.dtype)


def _attend(q: Array, k: Array, v: Array) -> Array:
    """Causal softmax(q k' / sqrt(D)) v, [S, H D]; heads of keys serve several heads of queries."""
    positions, n_heads, dim = q.shape
    k, v = (np.repeat(a, n_heads // a.shape[1], 1).swapaxes(0, 1) for a in (k, v))
    scores = q.swapaxes(0, 1) @ k.swapaxes(1, 2) / np.sqrt(np.float32(dim))
    scores[:, np.triu(np.ones((positions, positions), bool), 1)] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    mixed: Array = (weights @ v).swapaxes(0, 1).reshape(positions, -1)
    return mixed
