from __future__ import annotations

import numpy as np
import pytest

import reference_train
from pyane._core import base, train
from pyane.errors import ShapeError
from reference import numeric_gradient

# B, C, S: ones, primes, a block of 64 positions less one, itself, and one more.
SHAPES = [(1, 1, 1), (1, 7, 3), (2, 64, 17), (3, 13, 63), (1, 172, 64), (2, 31, 65), (1, 100, 131)]
EPS32 = float(np.finfo(np.float32).eps)
EPS16 = float(np.finfo(np.float16).eps)
TINY16 = 2.0**-24  # spacing of subnormal fp16: half of it is the rounding error there


def make(rng: np.random.Generator, shape: tuple[int, int, int], dtype: str) -> tuple:
    x = rng.standard_normal(shape).astype(dtype)
    dy = rng.standard_normal(shape).astype(dtype)
    w = rng.uniform(-2, 2, shape[1]).astype(np.float32)
    return x, dy, w


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("out", ["float32", "float16"])
def test_forward(
    rng: np.random.Generator, shape: tuple[int, int, int], dtype: str, out: str
) -> None:
    x, _, w = make(rng, shape, dtype)
    y = np.full(shape, np.nan, out)
    train.rmsnorm_forward(y, x, w, eps=1e-5)
    expected = reference_train.rmsnorm(x, w, 1e-5)
    # r is rounded once from fp64, then two products: three roundings of half an ulp.
    bound = 2 * EPS32 * np.abs(expected)
    if out == "float16":
        bound = bound + EPS16 / 2 * np.abs(expected) * 1.001 + TINY16
    assert (np.abs(y - expected) <= bound).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("out", ["float32", "float16"])
@pytest.mark.parametrize("accumulate", [False, True])
def test_backward(
    rng: np.random.Generator, shape: tuple[int, int, int], dtype: str, out: str, accumulate: bool
) -> None:
    x, dy, w = make(rng, shape, dtype)
    old_dx = rng.standard_normal(shape).astype(out)
    old_dw = rng.standard_normal(shape[1]).astype(np.float32)
    dx, dw = old_dx.copy(), old_dw.copy()
    train.rmsnorm_backward(dx, dw, dy, x, w, eps=1e-5, accumulate_dx=accumulate, dw_scale=0.25)
    expected_dx, expected_dw = reference_train.rmsnorm_gradients(dy, x, w, 1e-5)
    # dx = r (w dy - x k): at most four roundings on each of the two terms' magnitudes.
    x64, dy64, w64 = x.astype(np.float64), dy.astype(np.float64), w[:, None].astype(np.float64)
    r = 1 / np.sqrt((x64**2).mean(axis=1, keepdims=True) + 1e-5)
    k = r**2 * np.abs((w64 * dy64 * x64).mean(axis=1, keepdims=True))
    magnitude = r * (np.abs(w64 * dy64) + np.abs(x64) * k)
    bound = 3 * EPS32 * magnitude
    if accumulate:
        expected_dx = expected_dx + old_dx
        bound = bound + EPS32 * np.abs(expected_dx)
    if out == "float16":
        bound = bound + EPS16 / 2 * np.abs(expected_dx) * 1.001 + TINY16
    assert (np.abs(dx - expected_dx) <= bound).all()
    expected_dw = old_dw + 0.25 * expected_dw
    terms = 0.25 * (np.abs(dy64 * x64) * r).sum(axis=(0, 2))  # r is rounded to fp32
    assert (
        np.abs(dw - expected_dw) <= EPS32 * (terms + 2 * np.abs(expected_dw) + np.abs(old_dw))
    ).all()


def test_backward_against_central_differences(rng: np.random.Generator) -> None:
    """Random w: all ones hide a misplaced one."""
    x, dy, w = make(rng, (2, 5, 3), "float32")
    dx, dw = np.empty_like(x), np.zeros_like(w)
    train.rmsnorm_backward(dx, dw, dy, x, w, eps=1e-3)
    x64, w64 = x.astype(np.float64), w.astype(np.float64)

    def loss() -> float:
        return float((dy * reference_train.rmsnorm(x64, w64, 1e-3)).sum())

    # Differences: step^2 = 1e-10 times third derivatives, and 1e-16 / step of cancellation.
    np.testing.assert_allclose(dx, numeric_gradient(loss, x64), rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(dw, numeric_gradient(loss, w64), rtol=2e-5, atol=2e-6)


def test_accepts_engine_layouts(rng: np.random.Generator) -> None:
    x, _, w = make(rng, (1, 8, 5), "float16")
    y3, y4, y2 = np.empty(x.shape, "f4"), np.empty((1, 8, 1, 5), "f4"), np.empty((8, 5), "f4")
    train.rmsnorm_forward(y3, x, w)
    train.rmsnorm_forward(y4, x.reshape(1, 8, 1, 5), w)
    train.rmsnorm_forward(y2, x[0], w)
    assert (y3.ravel() == y4.ravel()).all()
    assert (y3.ravel() == y2.ravel()).all()


def test_forward_in_place(rng: np.random.Generator) -> None:
    x, _, w = make(rng, (2, 9, 70), "float32")
    y = np.empty_like(x)
    train.rmsnorm_forward(y, x, w)
    train.rmsnorm_forward(x, x, w)
    assert (x == y).all()


@pytest.mark.usefixtures("keep_num_threads")
def test_bits_do_not_depend_on_threads(rng: np.random.Generator) -> None:
    x, dy, w = make(rng, (3, 37, 200), "float16")
    results = []
    for n_threads in (1, 2, 3, 4):
        base.set_num_threads(n_threads)
        y, dx = np.empty(x.shape, np.float32), np.zeros(x.shape, np.float32)
        dw = np.zeros(37, np.float32)
        train.rmsnorm_forward(y, x, w)
        train.rmsnorm_backward(dx, dw, dy, x, w)
        results.append(y.tobytes() + dx.tobytes() + dw.tobytes())
    assert len(set(results)) == 1


def test_zero_positions() -> None:
    x = np.empty((1, 4, 0), np.float32)
    dw = np.ones(4, np.float32)
    train.rmsnorm_backward(np.empty_like(x), dw, x, x, np.ones(4, np.float32))
    assert (dw == 1).all()


def test_errors(rng: np.random.Generator) -> None:
    x, dy, w = make(rng, (2, 4, 3), "float32")
    y = np.empty_like(x)
    with pytest.raises(ShapeError, match=r"y must be \[B, C, S\] = \[2, 4, 3\], got .*\[1, 4, 3\]"):
        train.rmsnorm_forward(y[:1], x, w)
    with pytest.raises(ShapeError, match=r"w must have 4 elements \[C\], got 3"):
        train.rmsnorm_forward(y, x, w[:3])
    with pytest.raises(ShapeError, match=r"x must be float32 or float16, got float64 \[2, 4, 3\]"):
        train.rmsnorm_forward(y, x.astype(np.float64), w)
    with pytest.raises(ShapeError, match=r"y must be C-contiguous.*got float32 \[3, 4, 2\] with"):
        train.rmsnorm_forward(y.T, x, w)
    y.flags.writeable = False
    with pytest.raises(ShapeError, match="y must be writeable"):
        train.rmsnorm_forward(y, x, w)
    with pytest.raises(ShapeError, match=r"x must be \[C, S\].* got float32 \[24\]"):
        train.rmsnorm_forward(y, x.ravel(), w)
    empty = np.empty((1, 0, 3), np.float32)
    with pytest.raises(ShapeError, match="C must be at least 1"):
        train.rmsnorm_forward(empty.copy(), empty, w)
    dw = np.zeros(4, np.float32)
    with pytest.raises(ShapeError, match="dx and dy must not share memory"):
        train.rmsnorm_backward(dy, dw, dy, x, w)
    with pytest.raises(ShapeError, match=r"dy must be .*, got float32 \[2, 3, 4\]"):
        train.rmsnorm_backward(np.empty_like(x), dw, dy.reshape(2, 3, 4), x, w)
    with pytest.raises(ShapeError, match=r"dw must have 4 elements \[C\], got 5"):
        train.rmsnorm_backward(np.empty_like(x), np.zeros(5, np.float32), dy, x, w)
    with pytest.raises(TypeError):
        train.rmsnorm_forward([1.0], x, w)
