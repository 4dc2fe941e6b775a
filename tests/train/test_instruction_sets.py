"""The same bits whatever the vectors: the loops are compiled once per instruction set."""

from __future__ import annotations

import numpy as np
import pytest

from pyane._core import base, train
from pyane.errors import Error


def run_all(rng: np.random.Generator) -> bytes:
    shape = (2, 67, 131)
    x, dy = rng.standard_normal((2, *shape)).astype(np.float16)
    w = rng.uniform(-2, 2, 67).astype(np.float32)
    y, dx, dw = np.empty(shape, np.float32), np.ones(shape, np.float16), np.ones(67, np.float32)
    train.rmsnorm_forward(y, x, w)
    train.rmsnorm_backward(dx, dw, dy, x, w, accumulate_dx=True, dw_scale=0.5)

    logits = (5 * rng.standard_normal((9, 1500))).astype(np.float32)
    targets = rng.integers(-1, 1500, 9).astype(np.int32)
    losses = [train.cross_entropy_forward(logits, targets)]
    losses.append(train.cross_entropy_forward_backward(logits, targets, gradient_scale=64.0))

    flat = np.abs(rng.standard_normal((4, 20011))).astype(np.float32)
    options = {"weight_decay": 0.1, "decayed": [(5, 17000)], "grad_scale": 0.3}
    train.adam_update(*flat, step=2, learning_rate=1e-2, **options)
    norm = train.global_norm(flat[1])
    assert train.unscale(flat[1], 0.7)

    tokens = rng.integers(0, 40, (2, 131)).astype(np.int32)
    table, embedded = rng.standard_normal((40, 67)).astype(np.float32), np.empty(shape, np.float16)
    train.embedding_forward(embedded, table, tokens)
    train.embedding_backward(table, dy, tokens, scale=0.3)
    arrays = (y, dx, dw, logits, flat, table, embedded, np.array(losses), np.array(norm))
    return b"".join(a.tobytes() for a in arrays)


def test_all_give_the_same_bits() -> None:
    before = base.isa()
    results = {}
    try:
        for name in ("scalar", "neon", "avx2", "avx512"):
            try:
                base.set_isa(name)
            except Error:
                continue  # not on this CPU
            results[name] = run_all(np.random.default_rng(11))
    finally:
        base.set_isa(before)
    assert "scalar" in results
    if len(results) == 1:
        pytest.skip("this CPU has no vectors to compare with")
    assert len(set(results.values())) == 1
