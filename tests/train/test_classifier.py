from __future__ import annotations

import numpy as np
import pytest

from pyane._core import base, train
from pyane.errors import ShapeError

EPS32 = float(np.finfo(np.float32).eps)
# B, S, C, V: one chunk of the sum over V is 2048, one task 64 or more rows.
SHAPES = [(1, 1, 1, 1), (2, 3, 5, 7), (1, 17, 64, 512), (3, 31, 13, 65), (1, 5, 33, 4099)]


def make(rng: np.random.Generator, b: int, s: int, c: int, v: int) -> tuple:
    x = rng.standard_normal((b, c, s)).astype(np.float32)
    w = rng.standard_normal((v, c)).astype(np.float32)
    dlogits = rng.standard_normal((b, s, v)).astype(np.float32)
    return x, w, dlogits


def check(actual: np.ndarray, equation: str, a: np.ndarray, b: np.ndarray, n_sum: int) -> None:
    """fp32 product: n_sum roundings of the sum of magnitudes, whatever its order."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    bound = (n_sum + 1) * EPS32 * np.einsum(equation, np.abs(a), np.abs(b))
    assert (np.abs(actual - np.einsum(equation, a, b)) <= bound).all()


@pytest.mark.parametrize(("b", "s", "c", "v"), SHAPES)
def test_forward_and_backward(rng: np.random.Generator, b: int, s: int, c: int, v: int) -> None:
    x, w, dlogits = make(rng, b, s, c, v)
    logits = np.full((b, s, v), np.nan, np.float32)
    train.classifier_forward(logits, x, w)
    check(logits, "bcs,vc->bsv", x, w, c)
    dx = np.full(x.shape, np.nan, np.float32)
    train.classifier_backward(dx, dlogits, w)
    check(dx, "bsv,vc->bcs", dlogits, w, v)
    old = rng.standard_normal((v, c)).astype(np.float32)
    dw = old.copy()
    train.classifier_weight_gradient(dw, dlogits.reshape(b * s, v), x, scale=0.5)
    expected = old + 0.5 * np.einsum("bsv,bcs->vc", dlogits.astype(np.float64), x)
    magnitude = np.abs(old) + 0.5 * np.einsum("bsv,bcs->vc", np.abs(dlogits), np.abs(x))
    assert (np.abs(dw - expected) <= (b * s + 3) * EPS32 * magnitude).all()


@pytest.mark.usefixtures("keep_num_threads")
def test_bits_do_not_depend_on_threads(rng: np.random.Generator) -> None:
    x, w, dlogits = make(rng, 2, 19, 24, 5000)
    results = set()
    for n_threads in (1, 2, 3, 4):
        base.set_num_threads(n_threads)
        logits, dx, dw = np.empty_like(dlogits), np.empty_like(x), np.zeros_like(w)
        train.classifier_forward(logits, x, w)
        train.classifier_backward(dx, dlogits, w)
        train.classifier_weight_gradient(dw, dlogits, x)
        results.add(logits.tobytes() + dx.tobytes() + dw.tobytes())
    assert len(results) == 1


def test_errors(rng: np.random.Generator) -> None:
    x, w, dlogits = make(rng, 2, 3, 5, 7)
    message = r"for B, C, S = 2, 5, 3, logits must be .* and w \[V, C\], got float32 {} and .*{}"
    with pytest.raises(ShapeError, match=message.format(r"\[2, 3, 7\]", r"\[7, 4\]")):
        train.classifier_forward(dlogits, x, w[:, :4].copy())
    with pytest.raises(ShapeError, match=message.format(r"\[1, 3, 7\]", r"\[7, 5\]")):
        train.classifier_forward(dlogits[:1], x, w)
    with pytest.raises(ShapeError, match=message.format(r"\[3, 2, 7\]", r"\[7, 5\]")):
        train.classifier_forward(dlogits.reshape(3, 2, 7), x, w)
    with pytest.raises(ShapeError, match="x must be float32, got float16"):
        train.classifier_forward(dlogits, x.astype(np.float16), w)
    frozen = w.copy()
    frozen.flags.writeable = False
    with pytest.raises(ShapeError, match="dw must be writeable"):
        train.classifier_weight_gradient(frozen, dlogits, x)
