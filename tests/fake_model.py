"""Stands in for pyane.llama.Model where the training loop is tested, not the model.

A bigram model on the same parameters: logits of the next token = wcls @ embedding of this one.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pyane import llama

CONFIG = llama.Config(
    dim=8,
    hidden_dim=8,
    n_layers=1,
    n_heads=1,
    n_kv_heads=1,
    vocab_size=300,
    seq_len=16,
    tied_classifier=False,
)


class FakeModel:
    def __init__(self, config: llama.Config = CONFIG, seed: int = 0) -> None:
        self.config = config
        self.parameters = llama.Parameters(config).init(np.random.default_rng(seed))
        self.gradients = self.parameters.zeros_like()
        self.overflowed = False
        self.calls = 0
        self.overflow_at: frozenset[int] = frozenset()
        self.nan_at: frozenset[int] = frozenset()
        self.uploads = 0

    def zero_gradients(self) -> None:
        self.gradients.flat[...] = 0

    def upload_weights(self) -> None:
        self.uploads += 1

    def _forward(
        self, tokens: npt.ArrayLike, targets: npt.ArrayLike
    ) -> tuple[float, np.ndarray, np.ndarray]:
        x = self.parameters["token_embedding_table"][np.ravel(tokens)]
        logits = (x @ self.parameters["wcls"].T).astype(np.float64)
        logits -= logits.max(1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(1, keepdims=True)
        picked = p[np.arange(len(p)), np.ravel(targets)]
        return float(-np.log(picked).mean()), p, x

    def loss(self, tokens: npt.ArrayLike, targets: npt.ArrayLike) -> float:
        return self._forward(tokens, targets)[0]

    def loss_and_gradients(
        self, tokens: npt.ArrayLike, targets: npt.ArrayLike, *, loss_scale: float
    ) -> float:
        assert loss_scale >= 1
        loss, dlogits, x = self._forward(tokens, targets)
        dlogits[np.arange(len(dlogits)), np.ravel(targets)] -= 1
        dlogits = (dlogits / len(dlogits)).astype(np.float32)
        self.gradients["wcls"][...] += dlogits.T @ x
        dx = dlogits @ self.parameters["wcls"]
        np.add.at(self.gradients["token_embedding_table"], np.ravel(tokens), dx)
        self.overflowed = self.calls in self.overflow_at
        if self.calls in self.nan_at:
            loss = math.nan
        self.calls += 1
        return loss
