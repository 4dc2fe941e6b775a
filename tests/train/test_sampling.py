from __future__ import annotations

import collections

import numpy as np
import pytest

from pyane.errors import ConfigError, DataError
from pyane.train.sampling import Sampler, Sampling

# Token 2 is the likeliest, then 0, 4, 1, 3.
P = np.array([0.25, 0.1, 0.4, 0.05, 0.2])
LOGITS = np.log(P).astype(np.float32)


def draw(n: int = 4000, logits: np.ndarray = LOGITS, **settings: float) -> np.ndarray:
    """Frequencies of n draws."""
    sampler = Sampler(Sampling(seed=3, **settings))
    counts = collections.Counter(sampler.choose(logits) for _ in range(n))
    return np.array([counts[i] for i in range(len(logits))]) / n


def assert_drawn_from(frequencies: np.ndarray, p: np.ndarray, n: int = 4000) -> None:
    """Within four standard deviations of a binomial; never what has no probability."""
    p = p / p.sum()
    assert (np.abs(frequencies - p) <= 4 * np.sqrt(p * (1 - p) / n)).all(), frequencies


def test_all_tokens() -> None:
    assert_drawn_from(draw(), P)


def test_temperature() -> None:
    assert_drawn_from(draw(temperature=0.5), P**2)
    assert_drawn_from(draw(temperature=2.0), P**0.5)
    assert_drawn_from(draw(temperature=1e-300), P.max() == P)
    assert_drawn_from(draw(temperature=0), P.max() == P)


@pytest.mark.parametrize(
    ("top_k", "kept"), [(1, [2]), (2, [0, 2]), (3, [0, 2, 4]), (5, range(5)), (99, range(5))]
)
def test_top_k(top_k: int, kept: list[int]) -> None:
    assert_drawn_from(draw(top_k=top_k), P * np.isin(range(5), kept))


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(1e-9, [2]), (0.39, [2]), (0.41, [0, 2]), (0.66, [0, 2, 4]), (0.86, [0, 1, 2, 4])],
)
def test_top_p(top_p: float, kept: list[int]) -> None:
    assert_drawn_from(draw(top_p=top_p), P * np.isin(range(5), kept))


def test_top_p_is_of_what_top_k_and_the_temperature_left() -> None:
    # Of 0.4, 0.25, 0.2 the first two have 0.76.
    assert_drawn_from(draw(top_k=3, top_p=0.75), P * np.isin(range(5), [0, 2]))
    # Squared: 0.16 of 0.275.
    assert_drawn_from(draw(temperature=0.5, top_p=0.57), P**2 * np.isin(range(5), [2]))


@pytest.mark.parametrize("n", [1, 2, 7, 500])
def test_kept_tokens_are_those_of_the_definition(n: int, rng: np.random.Generator) -> None:
    for _ in range(40):
        logits = np.round(rng.normal(scale=3, size=n), 1).astype(np.float32)  # some are equal
        top_k, top_p = int(rng.integers(0, n + 2)), float(rng.uniform(0.01, 1))
        order = sorted(range(n), key=lambda i: (-logits[i], i))[: top_k or n]
        p = np.exp(logits[order].astype(np.float64) - logits.max())
        before = np.concatenate([[0.0], np.cumsum(p)[:-1]]) / p.sum()
        kept = Sampler(Sampling(top_k=top_k, top_p=top_p))._kept(logits)
        assert list(kept) == sorted(np.array(order)[before < top_p])


def test_of_equals_the_first() -> None:
    flat = np.zeros(6, np.float32)
    assert_drawn_from(draw(logits=flat, top_k=2), np.array([1.0, 1, 0, 0, 0, 0]))
    assert Sampler(Sampling(temperature=0)).choose(flat) == 0


def test_extreme_logits() -> None:
    logits = np.array([3e38, -3e38, 3e38], np.float32)
    assert_drawn_from(draw(logits=logits, temperature=1e-5), np.array([1.0, 0, 1.0]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite(bad: float, temperature: float) -> None:
    logits = LOGITS.copy()
    logits[3] = bad
    with pytest.raises(DataError, match=rf"must be finite, got {bad} for token 3.* fp16"):
        Sampler(Sampling(temperature=temperature)).choose(logits)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.5}, "--temperature must be at least 0 and finite, got -0.5"),
        ({"temperature": float("nan")}, "--temperature must be at least 0 and finite, got nan"),
        ({"temperature": float("inf")}, "--temperature must be at least 0 and finite, got inf"),
        ({"top_k": -1}, "--top-k must be at least 0, got -1"),
        ({"top_p": 0.0}, "--top-p must be above 0 and at most 1, got 0.0"),
        ({"top_p": 1.5}, "--top-p must be above 0 and at most 1, got 1.5"),
        ({"top_p": float("nan")}, "--top-p must be above 0 and at most 1, got nan"),
    ],
)
def test_bad_settings(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Sampling(**settings)
