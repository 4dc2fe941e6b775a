from __future__ import annotations

import collections
import itertools

import numpy as np
import numpy.typing as npt
import pytest

from pyane.errors import ConfigError
from pyane.train.generate import generate


class Cycle:
    """After token t comes t + 1 with probability 0.75, t + 2 with 0.25, modulo 5."""

    def __init__(self) -> None:
        self.longest = 0

    def next_token_logits(self, tokens: npt.ArrayLike) -> npt.NDArray[np.float32]:
        tokens = np.asarray(tokens)
        assert tokens.dtype == np.int32
        self.longest = max(self.longest, len(tokens))
        p = np.full(5, 1e-30)
        p[(tokens[-1] + 1) % 5] = 0.75
        p[(tokens[-1] + 2) % 5] = 0.25
        return np.log(p).astype(np.float32)


def test_temperature_0_takes_the_likeliest() -> None:
    assert list(generate(Cycle(), [3], 4, context=10, temperature=0)) == [4, 0, 1, 2]


def test_samples_follow_the_distribution() -> None:
    tokens = [0, *generate(Cycle(), [0], 4000, context=2, seed=1)]
    steps = collections.Counter((b - a) % 5 for a, b in itertools.pairwise(tokens))
    assert set(steps) == {1, 2}
    assert steps[1] / 4000 == pytest.approx(0.75, abs=4 * (0.75 * 0.25 / 4000) ** 0.5)


def test_low_temperature_sharpens() -> None:
    tokens = [0, *generate(Cycle(), [0], 1000, context=2, temperature=0.1)]
    assert sum((b - a) % 5 == 1 for a, b in itertools.pairwise(tokens)) == 1000


def test_seed_decides() -> None:
    a, b, c = (list(generate(Cycle(), [0], 50, context=2, seed=s)) for s in (1, 1, 2))
    assert a == b
    assert a != c


def test_stops_before_a_stop_token() -> None:
    tokens = generate(Cycle(), [0], 10, context=10, temperature=0, stop=frozenset({3}))
    assert list(tokens) == [1, 2]


def test_model_sees_at_most_its_context() -> None:
    model = Cycle()
    assert len(list(generate(model, [0] * 7, 10, context=4))) == 10
    assert model.longest == 4


class Recorder(Cycle):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[int]] = []

    def next_token_logits(self, tokens: npt.ArrayLike) -> npt.NDArray[np.float32]:
        self.seen.append(list(np.asarray(tokens)))
        return super().next_token_logits(tokens)


def test_a_full_context_is_cut_in_half() -> None:
    """So a cache serves for half a context, and what follows a cut begins as it did before."""
    model = Recorder()
    list(generate(model, [0, 1], 6, context=4, temperature=0))
    assert model.seen == [
        [0, 1],
        [0, 1, 2],
        [0, 1, 2, 3],
        [3, 4],
        [3, 4, 0],
        [3, 4, 0, 1],
    ]
    model = Recorder()
    list(generate(model, [0, 1, 2], 2, context=1, temperature=0))
    assert model.seen == [[2], [3]]


def test_tokens_beyond_the_vocabulary_are_never_chosen() -> None:
    tokens = generate(Cycle(), [0], 8, context=4, temperature=0, vocab_size=3)
    assert list(tokens) == [1, 2, 0, 1, 2, 0, 1, 2]


def test_infinitesimal_temperature_does_not_overflow() -> None:
    assert list(generate(Cycle(), [0], 3, context=2, temperature=1e-300)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("prompt", "max_tokens", "temperature", "message"),
    [
        ([], 1, 1.0, "prompt must hold at least one token"),
        ([0], -1, 1.0, "--max-tokens must be at least 0, got -1"),
        ([0], 1, -0.5, "--temperature must be at least 0 and finite, got -0.5"),
        ([0], 1, float("nan"), "--temperature must be at least 0 and finite, got nan"),
    ],
)
def test_bad_arguments(
    prompt: list[int], max_tokens: int, temperature: float, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        generate(Cycle(), prompt, max_tokens, context=4, temperature=temperature)
