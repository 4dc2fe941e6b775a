"""The reference that everything else is held against, against central differences."""

from __future__ import annotations

import numpy as np
import pytest

import reference_llama as ref
from pyane.llama import Config
from reference import numeric_gradient


def weighted(y: np.ndarray, dy: np.ndarray) -> float:
    return float((y * dy).sum())


def check(analytic: np.ndarray, numeric: np.ndarray) -> None:
    # Step 1e-5: truncation and cancellation both stay near 1e-10 of the function's scale.
    np.testing.assert_allclose(analytic, numeric, rtol=1e-6, atol=1e-7)


def test_rmsnorm(rng: np.random.Generator) -> None:
    x, dy = rng.standard_normal((2, 2, 3, 7))
    w = rng.uniform(0.5, 1.5, 7)
    dx, dw = ref.rmsnorm_backward(dy, x, w, 1e-2)
    check(dx, numeric_gradient(lambda: weighted(ref.rmsnorm(x, w, 1e-2), dy), x))
    check(dw, numeric_gradient(lambda: weighted(ref.rmsnorm(x, w, 1e-2), dy), w))


def test_rope_turns_each_pair_and_keeps_scores_relative(rng: np.random.Generator) -> None:
    x, dy = rng.standard_normal((2, 1, 5, 2, 6))
    y = ref.rope(x, 100.0)
    angle = 3 * 100.0 ** (-2 / 6)
    expected = np.cos(angle) * x[0, 3, 1, 2] - np.sin(angle) * x[0, 3, 1, 3]
    assert y[0, 3, 1, 2] == pytest.approx(expected, rel=1e-14)
    check(
        ref.rope(dy, 100.0, inverse=True),
        numeric_gradient(lambda: weighted(ref.rope(x, 100.0), dy), x),
    )
    same = np.broadcast_to(x[:, :1], x.shape).copy()
    turned = ref.rope(same, 100.0)[0, :, 0]
    assert turned[1] @ turned[0] == pytest.approx(turned[4] @ turned[3], rel=1e-12)


@pytest.mark.parametrize("n_kv", [1, 2, 4])
def test_attention(rng: np.random.Generator, n_kv: int) -> None:
    q, do = rng.standard_normal((2, 2, 5, 4, 3))
    k, v = rng.standard_normal((2, 2, 5, n_kv, 3))
    grads = ref.attention_backward(do, q, k, v)
    for value, grad in zip((q, k, v), grads, strict=True):
        check(grad, numeric_gradient(lambda: weighted(ref.attention(q, k, v), do), value))
    p = ref.attention_probabilities(q, k)
    assert (np.triu(p, 1) == 0).all()
    np.testing.assert_allclose(p.sum(axis=-1), 1.0, rtol=1e-14)


def test_swiglu(rng: np.random.Generator) -> None:
    h1, h3, dg = 3 * rng.standard_normal((3, 1, 4, 5))
    dh1, dh3 = ref.swiglu_backward(dg, h1, h3)
    check(dh1, numeric_gradient(lambda: weighted(ref.swiglu(h1, h3), dg), h1))
    check(dh3, numeric_gradient(lambda: weighted(ref.swiglu(h1, h3), dg), h3))


@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("tied", [True, False])
def test_whole_model(rng: np.random.Generator, tied: bool, qk_norm: bool) -> None:
    config = Config(
        dim=8,
        hidden_dim=6,
        n_layers=2,
        n_heads=4,
        n_kv_heads=2,
        vocab_size=7,
        seq_len=5,
        tied_classifier=tied,
        head_dim=6 if qk_norm else 0,
        qk_norm=qk_norm,
    )
    weights = {n: rng.standard_normal(s) * 0.5 for n, s in config.parameter_shapes.items()}
    model = ref.Llama(config, weights)
    tokens = rng.integers(0, 7, (2, 5))
    targets = rng.integers(0, 7, (2, 5))
    targets[0, 3] = -1
    loss, grads = model.loss_and_gradients(tokens, targets)
    assert loss == model.loss(tokens, targets)
    for name, value in weights.items():
        check(grads[name], numeric_gradient(lambda: model.loss(tokens, targets), value))
