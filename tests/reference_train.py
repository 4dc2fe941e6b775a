"""fp64 NumPy references of pyane's CPU half of training. Activations are [B, C, S]."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def rmsnorm(x: ArrayLike, w: ArrayLike, eps: float) -> np.ndarray:
    """y = w * x / sqrt(mean_c x^2 + eps)."""
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    return w[:, None] * x / np.sqrt((x * x).mean(axis=1, keepdims=True) + eps)


def rmsnorm_gradients(
    dy: ArrayLike, x: ArrayLike, w: ArrayLike, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """(dx, dw), by the Jacobian of every position written out in full."""
    dy, x, w = (np.asarray(a, np.float64) for a in (dy, x, w))
    n_batch, n_channels, n_positions = x.shape
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for b in range(n_batch):
        for s in range(n_positions):
            v = x[b, :, s]
            norm = np.sqrt(v @ v / n_channels + eps)
            # d(v_i / norm) / d v_j = delta_ij / norm - v_i v_j / (C norm^3)
            jacobian = np.eye(n_channels) / norm - np.outer(v, v) / (n_channels * norm**3)
            dx[b, :, s] = jacobian.T @ (w * dy[b, :, s])
            dw += dy[b, :, s] * v / norm
    return dx, dw


def log_softmax(logits: ArrayLike) -> np.ndarray:
    """Over the last axis."""
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def cross_entropy(logits: ArrayLike, targets: ArrayLike) -> float:
    """Mean over the targets that are not negative."""
    targets = np.asarray(targets)
    counted = np.flatnonzero(targets >= 0)
    return float(-log_softmax(logits)[counted, targets[counted]].mean())


def cross_entropy_gradient(logits: ArrayLike, targets: ArrayLike) -> np.ndarray:
    """Of the mean by every logit."""
    targets = np.asarray(targets)
    counted = np.flatnonzero(targets >= 0)
    gradient = np.zeros(np.shape(logits))
    gradient[counted] = np.exp(log_softmax(logits)[counted])
    gradient[counted, targets[counted]] -= 1.0
    return gradient / len(counted)


class AdamW:
    """Loshchilov & Hutter 2019, algorithm 2, state in fp64."""

    def __init__(self, params: ArrayLike) -> None:
        self.params = np.array(params, np.float64)
        self.m = np.zeros(self.params.shape)
        self.v = np.zeros(self.params.shape)
        self.t = 0

    def step(
        self,
        grads: ArrayLike,
        learning_rate: float,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: ArrayLike,
    ) -> None:
        grads = np.asarray(grads, np.float64)
        self.t += 1
        self.m = beta1 * self.m + (1 - beta1) * grads
        self.v = beta2 * self.v + (1 - beta2) * grads**2
        m_hat = self.m / (1 - beta1**self.t)
        v_hat = self.v / (1 - beta2**self.t)
        decay = np.asarray(weight_decay) * self.params
        self.params = self.params - learning_rate * (m_hat / (np.sqrt(v_hat) + eps) + decay)


def embedding(table: ArrayLike, tokens: ArrayLike) -> np.ndarray:
    """[V, C] and [B, S] to [B, C, S]."""
    return np.asarray(table, np.float64)[np.asarray(tokens)].transpose(0, 2, 1)


def embedding_gradient(dx: ArrayLike, tokens: ArrayLike, vocab_size: int) -> np.ndarray:
    """Of the table, as a product with one-hot rows."""
    one_hot = np.eye(vocab_size)[np.asarray(tokens)]
    return np.einsum("bsv,bcs->vc", one_hot, np.asarray(dx, np.float64))


def weight_gradient(dy: ArrayLike, x: ArrayLike) -> np.ndarray:
    """Sum over b of dy[b] @ x[b].T: [B, M, S] and [B, K, S] to [M, K]."""
    return np.einsum("bms,bks->mk", np.asarray(dy, np.float64), np.asarray(x, np.float64))
