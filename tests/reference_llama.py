"""Llama 2, forward and backward, in fp64 NumPy from the formulas.

Shape letters: B sequences, S positions, C channels, H query heads, K KV heads, G = H / K,
D head dim, F hidden, V vocabulary, L layers. Arrays are position-major: [B, S, C], heads [B, S, H, D].
Every `*_backward` takes the gradient of its output first and is checked with central differences
in tests/llama/test_reference_llama.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray


def rmsnorm(x: Array, w: Array, eps: float) -> Array:
    """y_c = w_c x_c / sqrt(mean_k x_k^2 + eps), over the last axis."""
    return w * x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)


def rmsnorm_backward(dy: Array, x: Array, w: Array, eps: float) -> tuple[Array, Array]:
    """dx, dw. With u = x / rms: du = w dy, and dx = (du - u mean(du u)) / rms, since |u|^2 / C and
    rms are tied by rms^2 = mean(x^2) + eps and d rms / dx_k = u_k / C."""
    rms = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    u = x / rms
    du = w * dy
    dx = (du - u * np.mean(du * u, axis=-1, keepdims=True)) / rms
    return dx, np.sum(dy * u, axis=tuple(range(x.ndim - 1)))


def rope_angles(n_positions: int, head_dim: int, theta: float) -> Array:
    """[S, D/2]: position * theta^(-2i / D)."""
    return np.outer(np.arange(n_positions), theta ** (-np.arange(0, head_dim, 2) / head_dim))


def rope(x: Array, theta: float, *, inverse: bool = False) -> Array:
    """Turns channel pairs (2i, 2i + 1) of x [B, S, heads, D] by their angle, as complex numbers.

    The inverse is also the transpose, hence the backward pass.
    """
    angles = rope_angles(x.shape[1], x.shape[3], theta)[None, :, None, :]
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(-1j * angles if inverse else 1j * angles)
    y = np.empty_like(x)
    y[..., 0::2] = turned.real
    y[..., 1::2] = turned.imag
    return y


def attention_probabilities(q: Array, k: Array) -> Array:
    """[B, H, S, S]: causal softmax(q k^T / sqrt(D)); q [B, S, H, D], k [B, S, K, D]."""
    n_positions, n_heads, head_dim = q.shape[1:]
    keys = k[:, :, np.arange(n_heads) // (n_heads // k.shape[2])]
    scores = np.einsum("bihd,bjhd->bhij", q, keys) / np.sqrt(head_dim)
    scores = np.where(np.tril(np.ones((n_positions, n_positions), bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def attention(q: Array, k: Array, v: Array) -> Array:
    """[B, S, H, D]."""
    group = q.shape[2] // v.shape[2]
    values = v[:, :, np.arange(q.shape[2]) // group]
    return np.einsum("bhij,bjhd->bihd", attention_probabilities(q, k), values)


def attention_backward(do: Array, q: Array, k: Array, v: Array) -> tuple[Array, Array, Array]:
    """dq, dk, dv. Softmax: ds = p (dp - sum p dp)."""
    batch, n_positions, n_heads, head_dim = q.shape
    n_kv = k.shape[2]
    index = np.arange(n_heads) // (n_heads // n_kv)
    p = attention_probabilities(q, k)
    dp = np.einsum("bihd,bjhd->bhij", do, v[:, :, index])
    ds = p * (dp - np.sum(p * dp, axis=-1, keepdims=True)) / np.sqrt(head_dim)
    dq = np.einsum("bhij,bjhd->bihd", ds, k[:, :, index])
    dk = np.zeros((batch, n_positions, n_kv, head_dim))
    dv = np.zeros_like(dk)
    for head in range(n_heads):  # heads of a group add up
        dk[:, :, index[head]] += np.einsum("bij,bid->bjd", ds[:, head], q[:, :, head])
        dv[:, :, index[head]] += np.einsum("bij,bid->bjd", p[:, head], do[:, :, head])
    return dq, dk, dv


def sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


def swiglu(h1: Array, h3: Array) -> Array:
    return h1 * sigmoid(h1) * h3


def swiglu_backward(dg: Array, h1: Array, h3: Array) -> tuple[Array, Array]:
    """dh1, dh3. d silu = s + h1 s (1 - s)."""
    s = sigmoid(h1)
    return dg * h3 * (s + h1 * s * (1 - s)), dg * h1 * s


def cross_entropy(logits: Array, targets: Array) -> tuple[float, Array]:
    """Mean over targets >= 0, and its gradient [B, S, V]."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    counted = targets >= 0
    hot = np.eye(logits.shape[-1])[np.maximum(targets, 0)] * counted[..., None]
    n = max(int(counted.sum()), 1)
    return -float((log_p * hot).sum()) / n, (np.exp(log_p) * counted[..., None] - hot) / n


@dataclass
class Llama:
    """A model with fp64 weights by their llama2.c names.

    Attributes:
        config: Anything with the attributes of pyane.llama.Config.
        weights: Name to array; matrices [outputs, inputs], per-layer weights stacked.
        saved: What the last `forward` keeps for `backward`: per layer, by name.
    """

    config: Any
    weights: dict[str, Array]
    saved: list[dict[str, Array]] = field(default_factory=list)

    def _heads(self, x: Array, n_heads: int) -> Array:
        return x.reshape(*x.shape[:2], n_heads, x.shape[2] // n_heads)

    @property
    def classifier(self) -> str:
        return "token_embedding_table" if self.config.tied_classifier else "wcls"

    def forward(self, tokens: Array) -> Array:
        """Logits [B, S, V] of tokens [B, S]."""
        config, w = self.config, self.weights
        theta, eps = config.rope_theta, config.norm_eps
        self.saved = []
        x = w["token_embedding_table"][tokens]
        for layer in range(config.n_layers):
            s: dict[str, Array] = {"x": x}
            s["xn"] = rmsnorm(x, w["rms_att_weight"][layer], eps)
            for name, n_heads in (("q", config.n_heads), ("k", config.n_kv_heads)):
                raw = self._heads(s["xn"] @ w[f"w{name}"][layer].T, n_heads)
                s[f"{name}_raw"] = raw
                if config.qk_norm:
                    raw = rmsnorm(raw, w[f"rms_{name}_weight"][layer], eps)
                s[name] = rope(raw, theta)
            s["v"] = self._heads(s["xn"] @ w["wv"][layer].T, config.n_kv_heads)
            s["o"] = attention(s["q"], s["k"], s["v"]).reshape(*x.shape[:2], -1)
            s["x2"] = x + s["o"] @ w["wo"][layer].T
            s["x2n"] = rmsnorm(s["x2"], w["rms_ffn_weight"][layer], eps)
            s["h1"] = s["x2n"] @ w["w1"][layer].T
            s["h3"] = s["x2n"] @ w["w3"][layer].T
            s["g"] = swiglu(s["h1"], s["h3"])
            x = s["x2"] + s["g"] @ w["w2"][layer].T
            self.saved.append(s)
        last = {"x": x, "xn": rmsnorm(x, w["rms_final_weight"], eps)}
        self.saved.append(last)
        return last["xn"] @ w[self.classifier].T

    def loss(self, tokens: Array, targets: Array) -> float:
        return cross_entropy(self.forward(tokens), targets)[0]

    def loss_and_gradients(self, tokens: Array, targets: Array) -> tuple[float, dict[str, Array]]:
        loss, dlogits = cross_entropy(self.forward(tokens), targets)
        return loss, self.backward(tokens, dlogits)

    def backward(self, tokens: Array, dlogits: Array) -> dict[str, Array]:
        """Gradient by every weight, given that of the logits of the last `forward`."""
        config, w = self.config, self.weights
        theta, eps = config.rope_theta, config.norm_eps
        grads = {name: np.zeros_like(value) for name, value in w.items()}

        def outer(dy: Array, x: Array) -> Array:
            return np.einsum("bso,bsi->oi", dy, x)

        last = self.saved[-1]
        grads[self.classifier] += outer(dlogits, last["xn"])
        dx, grads["rms_final_weight"] = rmsnorm_backward(
            dlogits @ w[self.classifier], last["x"], w["rms_final_weight"], eps
        )
        for layer in reversed(range(config.n_layers)):
            s = self.saved[layer]
            grads["w2"][layer] = outer(dx, s["g"])
            dh1, dh3 = swiglu_backward(dx @ w["w2"][layer], s["h1"], s["h3"])
            grads["w1"][layer] = outer(dh1, s["x2n"])
            grads["w3"][layer] = outer(dh3, s["x2n"])
            dx2, grads["rms_ffn_weight"][layer] = rmsnorm_backward(
                dh1 @ w["w1"][layer] + dh3 @ w["w3"][layer],
                s["x2"],
                w["rms_ffn_weight"][layer],
                eps,
            )
            dx2 += dx
            grads["wo"][layer] = outer(dx2, s["o"])
            do = self._heads(dx2 @ w["wo"][layer], config.n_heads)
            dq, dk, dv = attention_backward(do, s["q"], s["k"], s["v"])
            dq, dk = (rope(d, theta, inverse=True) for d in (dq, dk))
            if config.qk_norm:
                weights = w["rms_q_weight"][layer], w["rms_k_weight"][layer]
                dq, grads["rms_q_weight"][layer] = rmsnorm_backward(dq, s["q_raw"], weights[0], eps)
                dk, grads["rms_k_weight"][layer] = rmsnorm_backward(dk, s["k_raw"], weights[1], eps)
            dq, dk = (d.reshape(*dx.shape[:2], -1) for d in (dq, dk))
            dv = dv.reshape(*dx.shape[:2], -1)
            grads["wq"][layer] = outer(dq, s["xn"])
            grads["wk"][layer] = outer(dk, s["xn"])
            grads["wv"][layer] = outer(dv, s["xn"])
            dx, grads["rms_att_weight"][layer] = rmsnorm_backward(
                dq @ w["wq"][layer] + dk @ w["wk"][layer] + dv @ w["wv"][layer],
                s["x"],
                w["rms_att_weight"][layer],
                eps,
            )
            dx += dx2
        np.add.at(grads["token_embedding_table"], tokens, dx)
        return grads
