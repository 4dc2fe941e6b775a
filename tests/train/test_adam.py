from __future__ import annotations

import numpy as np
import pytest

import reference_train
from pyane._core import base, train
from pyane.errors import ShapeError

EPS32 = float(np.finfo(np.float32).eps)
SIZES = [1, 7, 64, 16383, 16384, 40001]  # around the tasks of 16384


@pytest.mark.parametrize("n", SIZES)
def test_ten_steps(rng: np.random.Generator, n: int) -> None:
    params = rng.standard_normal(n).astype(np.float32)
    m, v = np.zeros(n, np.float32), np.zeros(n, np.float32)
    cuts = sorted({int(c) for c in rng.integers(0, n + 1, 4)} | {0})
    decayed = list(zip(cuts[::2], cuts[1::2], strict=False))
    decay = np.zeros(n)
    for begin, end in decayed:
        decay[begin:end] = 0.1
    reference = reference_train.AdamW(params)
    for step in range(1, 11):
        grads = (rng.standard_normal(n) * 64).astype(np.float32)
        before = grads.copy()
        train.adam_update(
            params,
            grads,
            m,
            v,
            step=step,
            learning_rate=1e-2,
            beta1=0.9,
            beta2=0.95,
            eps=1e-8,
            weight_decay=0.1,
            decayed=decayed,
            grad_scale=1 / 64,
            zero_grads=step % 2 == 0,
        )
        reference.step(before / 64, 1e-2, 0.9, 0.95, 1e-8, decay)
        assert (grads == (0 if step % 2 == 0 else before)).all()
    # m and v: three roundings a step, damped by beta, sum below 4 / (1 - beta) of the largest term.
    assert np.abs(m - reference.m).max() <= 4 * EPS32 * 5
    assert np.abs(v / reference.v - 1).max() <= 40 * EPS32
    # Each step moves by less than learning_rate * 3.5, with the moments' relative error, and rounds.
    bound = 10 * (EPS32 * np.abs(reference.params).max() + 1e-2 * 100 * EPS32)
    assert np.abs(params - reference.params).max() <= bound


@pytest.mark.usefixtures("keep_num_threads")
@pytest.mark.parametrize("n_threads", [1, 3])
def test_halves(rng: np.random.Generator, n_threads: int) -> None:
    """Copies of some of the new parameters: within a task of 16384, across several, next to each other."""
    base.set_num_threads(n_threads)
    n = 60001
    params, grads = (rng.standard_normal(n, dtype=np.float32) for _ in range(2))
    m, v = np.zeros(n, np.float32), np.zeros(n, np.float32)
    ranges = [(0, 1), (5, 5), (100, 16384), (16384, 16390), (20000, 59999)]
    halves = [(begin, np.full(end - begin, 7, np.float16)) for begin, end in ranges]
    train.adam_update(params, grads, m, v, step=1, learning_rate=0.1, halves=halves)
    for (begin, end), (_, half) in zip(ranges, halves, strict=True):
        np.testing.assert_array_equal(half, params[begin:end].astype(np.float16))


def test_halves_must_fit() -> None:
    buffers = [np.ones(10, np.float32) for _ in range(4)]
    half = np.zeros(4, np.float16)
    frozen = np.zeros(4, np.float16)
    frozen.flags.writeable = False
    for wrong, match in (
        ([(7, half)], r"inside \[0, 10\), got 4 elements from 7 on after 0"),
        ([(11, half[:0])], "got 0 elements from 11 on"),
        ([(2, half), (5, half.copy())], "got 4 elements from 5 on after 6"),
        ([(0, half.view(np.int16))], "halves must be float16, got int16"),
        ([(0, half[::2])], "halves must be C-contiguous"),
        ([(0, frozen)], "halves must be writeable, got .* read-only"),
        ([(0, half[:2]), (4, half[1:])], "arrays of halves and others must not share memory"),
        *(
            ([(0, buffer.view(np.float16)[4:8])], f"halves and {name} must not share memory")
            for name, buffer in zip(("params", "grads", "m", "v"), buffers, strict=True)
        ),
    ):
        with pytest.raises(ShapeError, match=match):
            train.adam_update(*buffers, step=1, learning_rate=0.1, zero_grads=True, halves=wrong)
        for buffer in buffers:
            np.testing.assert_array_equal(buffer, 1)
        np.testing.assert_array_equal(half, 0)
    with pytest.raises(TypeError):  # Never a copy, which would be filled instead.
        train.adam_update(*buffers, step=1, learning_rate=0.1, halves=[(0, [1.0])])


def test_halves_of_what_is_not_finite() -> None:
    """As float_to_half: too large is infinite, NaN stays one."""
    params = np.array([1e5, -np.inf, np.nan, 65504.0], np.float32)
    grads, m, v = (np.zeros(4, np.float32) for _ in range(3))
    half = np.zeros((2, 2), np.float16)
    train.adam_update(params, grads, m, v, step=1, learning_rate=0.0, halves=[(0, half)])
    np.testing.assert_array_equal(half.ravel(), [np.inf, -np.inf, np.nan, 65504.0])


def test_first_step_is_the_learning_rate() -> None:
    """Bias correction: m / sqrt(v) is the gradient's sign at first, however small the gradient."""
    params = np.zeros(3, np.float32)
    grads = np.array([1e-3, -5.0, 0.0], np.float32)
    m, v = np.zeros(3, np.float32), np.zeros(3, np.float32)
    train.adam_update(params, grads, m, v, step=1, learning_rate=0.5)
    np.testing.assert_allclose(params, [-0.5, 0.5, 0.0], rtol=2e-5)


def test_weight_decay_alone() -> None:
    params, zeros = np.ones(6, np.float32), np.zeros(6, np.float32)
    train.adam_update(
        params,
        zeros.copy(),
        zeros.copy(),
        zeros.copy(),
        step=1,
        learning_rate=0.5,
        weight_decay=0.5,
        decayed=[(0, 2), (3, 3), (4, 5)],
    )
    assert params.tolist() == [0.75, 0.75, 1.0, 1.0, 0.75, 1.0]


@pytest.mark.usefixtures("keep_num_threads")
def test_bits_do_not_depend_on_threads(rng: np.random.Generator) -> None:
    start = rng.standard_normal((4, 100_003)).astype(np.float32)
    start[3] = np.abs(start[3])
    results = set()
    for n_threads in (1, 2, 3, 4):
        base.set_num_threads(n_threads)
        params, grads, m, v = start.copy()
        train.adam_update(params, grads, m, v, step=3, learning_rate=0.1)
        norm = train.global_norm(grads)
        results.add((norm, params.tobytes(), m.tobytes(), v.tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize("n", [0, *SIZES])
def test_global_norm(rng: np.random.Generator, n: int) -> None:
    grads = (rng.standard_normal(n) * 1e30).astype(np.float32)  # squares beyond fp32
    expected = np.sqrt((grads.astype(np.float64) ** 2).sum())
    assert train.global_norm(grads) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 16383, 16384, 20000])
def test_non_finite_gradients_are_seen(bad: float, at: int) -> None:
    grads = np.full(20001, np.finfo(np.float32).max, np.float32)
    assert not train.has_nonfinite(grads)
    assert np.isfinite(train.global_norm(grads))
    grads[at] = bad
    assert train.has_nonfinite(grads)
    assert not np.isfinite(train.global_norm(grads))
    assert not train.unscale(grads, 0.5)
    assert grads[20000 if at != 20000 else 5] == np.finfo(np.float32).max / 2


def test_unscale(rng: np.random.Generator) -> None:
    grads = rng.standard_normal((33, 1001)).astype(np.float32)
    expected = grads * np.float32(1 / 1024)
    assert train.unscale(grads, 1 / 1024)
    assert (grads == expected).all()
    grads[3, 3] = 1e38
    assert not train.unscale(grads, 1e3)  # overflows


def test_errors() -> None:
    def update(n_m: int = 4, **options: object) -> None:
        params, grads, v = (np.zeros(4, np.float32) for _ in range(3))
        m = np.zeros(n_m, np.float32)
        train.adam_update(params, grads, m, v, **({"step": 1, "learning_rate": 0.1} | options))

    with pytest.raises(ShapeError, match=r"m must have 4 elements \[n\], got 3"):
        update(n_m=3)
    with pytest.raises(ShapeError, match="step must be at least 1, got 0"):
        update(step=0)
    with pytest.raises(ShapeError, match=r"beta1 must be in \[0, 1\), got 1"):
        update(beta1=1.0)
    with pytest.raises(ShapeError, match=r"beta2 must be in \[0, 1\), got -0.5"):
        update(beta2=-0.5)
    with pytest.raises(ShapeError, match="learning_rate must be finite, got nan"):
        update(learning_rate=float("nan"))
    with pytest.raises(ShapeError, match="weight_decay must be finite and not negative, got -1"):
        update(weight_decay=-1.0)
    for decayed in ([(0, 5)], [(2, 1)], [(0, 2), (1, 3)]):
        begin, end = decayed[-1]
        with pytest.raises(ShapeError, match=rf"inside \[0, 4\), got \[{begin}, {end}\)"):
            update(decayed=decayed)
    same = np.zeros(4, np.float32)
    with pytest.raises(ShapeError, match="m and v must not share memory"):
        train.adam_update(
            np.zeros(4, np.float32), np.zeros(4, np.float32), same, same, step=1, learning_rate=0.1
        )
    frozen = np.zeros(4, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ShapeError, match="params must be writeable"):
        train.adam_update(frozen, same, same, same, step=1, learning_rate=0.1)
