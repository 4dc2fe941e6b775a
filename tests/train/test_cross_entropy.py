from __future__ import annotations

import numpy as np
import pytest

import reference_train
from pyane._core import base, train
from pyane.errors import ShapeError
from reference import numeric_gradient

EPS32 = float(np.finfo(np.float32).eps)
# N, V: ones, primes, lanes of 64 and blocks of 1024 with one more or less.
SHAPES = [(1, 1), (3, 2), (7, 63), (5, 64), (2, 65), (33, 512), (4, 1023), (3, 1025), (2, 32000)]


def make(rng: np.random.Generator, n: int, v: int) -> tuple[np.ndarray, np.ndarray]:
    logits = (4 * rng.standard_normal((n, v))).astype(np.float32)
    return logits, rng.integers(0, v, n).astype(np.int32)


def gradient_bound(logits: np.ndarray) -> np.ndarray:
    """Of softmax: exp to 1.5 ulp of its argument's rounding, 16 + 6 fp32 sums, one division."""
    shifted = np.abs(logits - logits.max(axis=-1, keepdims=True)).astype(np.float64)
    relative = EPS32 * (1.5 + 22 + 2 + shifted / 2)
    return relative * np.exp(reference_train.log_softmax(logits)) + 1e-37


@pytest.mark.parametrize(("n", "v"), SHAPES)
def test_loss_and_gradient(rng: np.random.Generator, n: int, v: int) -> None:
    logits, targets = make(rng, n, v)
    targets[rng.random(n) < 0.2] = -1
    targets[0] = v - 1
    n_counted = int((targets >= 0).sum())
    expected = reference_train.cross_entropy(logits, targets)
    loss_bound = EPS32 * (30 + np.abs(logits - logits.max(axis=-1, keepdims=True)).max())

    loss, counted = train.cross_entropy_forward(logits, targets)
    assert counted == n_counted
    assert abs(loss - expected) <= loss_bound

    gradient = logits.copy()
    loss2, counted2 = train.cross_entropy_forward_backward(gradient, targets, gradient_scale=8.0)
    assert (loss2, counted2) == (loss, counted)
    expected_gradient = 8 * reference_train.cross_entropy_gradient(logits, targets)
    bound = 8 / n_counted * gradient_bound(logits)
    counted_rows = np.flatnonzero(targets >= 0)
    # At the target: the sum of all others.
    target_error = EPS32 * 40 * np.abs(expected_gradient[counted_rows, targets[counted_rows]])
    bound[counted_rows, targets[counted_rows]] = target_error
    assert (np.abs(gradient - expected_gradient) <= bound).all()
    assert (gradient[targets < 0] == 0).all()


def test_gradient_against_central_differences(rng: np.random.Generator) -> None:
    logits, targets = make(rng, 4, 9)
    targets[2] = -100
    gradient = logits.copy()
    train.cross_entropy_forward_backward(gradient, targets)
    logits64 = logits.astype(np.float64)
    numeric = numeric_gradient(lambda: reference_train.cross_entropy(logits64, targets), logits64)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-7)


def test_confident_rows_keep_their_digits() -> None:
    """1 - p underflows to 0 in fp32 long before p is 1."""
    logits = np.array([[0.0, -20.0]], np.float32)
    loss, _ = train.cross_entropy_forward_backward(logits, np.zeros(1, np.int32))
    assert loss == pytest.approx(np.log1p(np.exp(-20.0)), rel=4e-7)
    np.testing.assert_allclose(logits[0], [-np.exp(-20.0), np.exp(-20.0)], rtol=4e-7)


def test_far_logits_and_shift_invariance() -> None:
    logits = np.array([[3e38, -3e38, 0.0], [-1e4, -1e4, -1e4 - 200]], np.float32)
    loss, _ = train.cross_entropy_forward_backward(logits, np.array([0, 1], np.int32))
    assert loss == pytest.approx(np.log(2) / 2, rel=1e-7)
    assert logits[0].tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_allclose(logits[1], [0.25, -0.25, 0.0], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_logits_are_seen(bad: float) -> None:
    logits = np.zeros((2, 70), np.float32)
    logits[1, 65] = bad
    targets = np.zeros(2, np.int32)
    assert np.isnan(train.cross_entropy_forward(logits, targets)[0])
    assert np.isnan(train.cross_entropy_forward_backward(logits, targets)[0])


def test_no_target_counts(rng: np.random.Generator) -> None:
    logits, targets = make(rng, 3, 5)
    targets[:] = -1
    assert train.cross_entropy_forward_backward(logits, targets) == (0.0, 0)
    assert (logits == 0).all()
    assert train.cross_entropy_forward(logits[:0], targets[:0]) == (0.0, 0)


def test_batched_layout(rng: np.random.Generator) -> None:
    logits, targets = make(rng, 6, 11)
    flat = train.cross_entropy_forward(logits, targets)
    assert train.cross_entropy_forward(logits.reshape(2, 3, 11), targets.reshape(2, 3)) == flat


@pytest.mark.usefixtures("keep_num_threads")
def test_bits_do_not_depend_on_threads(rng: np.random.Generator) -> None:
    logits, targets = make(rng, 101, 777)
    results = []
    for n_threads in (1, 2, 3, 4):
        base.set_num_threads(n_threads)
        gradient = logits.copy()
        loss = train.cross_entropy_forward_backward(gradient, targets)
        results.append((loss, gradient.tobytes()))
    assert len(set(results)) == 1


def test_errors(rng: np.random.Generator) -> None:
    logits, targets = make(rng, 20, 32)
    before = logits.copy()
    targets[17] = 32
    for function in (train.cross_entropy_forward, train.cross_entropy_forward_backward):
        with pytest.raises(
            ShapeError, match=r"cross_entropy: target 32 at position 17 is outside \[0, 32\)"
        ):
            function(logits, targets)
    assert (logits == before).all()
    with pytest.raises(ShapeError, match=r"targets must be \[N\] = \[20\], got int32 \[19\]"):
        train.cross_entropy_forward(logits, targets[:19])
    with pytest.raises(ShapeError, match=r"targets must be \[B, S\] = \[4, 5\] or flat"):
        train.cross_entropy_forward(logits.reshape(4, 5, 32), targets.reshape(5, 4))
    with pytest.raises(ShapeError, match="targets must be int32, got int64"):
        train.cross_entropy_forward(logits, targets.astype(np.int64))
    with pytest.raises(ShapeError, match=r"V must be in \[1, 2\^31\), got 0"):
        train.cross_entropy_forward(logits[:, :0].copy(), targets)
    with pytest.raises(ShapeError, match=r"logits must be \[N, V\]"):
        train.cross_entropy_forward(logits[0], targets)
    with pytest.raises(ShapeError, match="logits must be float32, got float16"):
        train.cross_entropy_forward_backward(logits.astype(np.float16), targets)
