"""Continuing a sequence of tokens."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError


class NextToken(Protocol):
    """The part of `pyane.llama.Model` that generation needs."""

    def next_token_logits(self, tokens: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Logits [V] of the token after `tokens` [S]."""


def generate(
    model: NextToken,
    prompt: Sequence[int],
    max_tokens: int,
    *,
    context: int,
    temperature: float = 1.0,
    seed: int = 0,
    stop: frozenset[int] = frozenset(),
) -> Iterator[int]:
    """Tokens that continue `prompt`, one at a time.

    Args:
        model: Gives the logits.
        prompt: At least one token.
        max_tokens: Most tokens to generate.
        context: Positions the model can see; of longer sequences it sees the last ones.
        temperature: 0 always takes the likeliest token (of equals the first); 1 samples from the
            model's distribution; below 1 favours likely tokens.
        seed: Decides the samples.
        stop: Tokens that end the text; not part of what is generated.

    Raises:
        ConfigError: An argument is out of range.
    """
    if not prompt:
        msg = "generate: prompt must hold at least one token, got none"
        raise ConfigError(msg)
    if not temperature >= 0:
        msg = f"--temperature must be at least 0, got {temperature}"
        raise ConfigError(msg)
    if max_tokens < 0:
        msg = f"--max-tokens must be at least 0, got {max_tokens}"
        raise ConfigError(msg)
    return _generate(model, list(prompt), max_tokens, context, temperature, seed, stop)


def _generate(
    model: NextToken,
    tokens: list[int],
    max_tokens: int,
    context: int,
    temperature: float,
    seed: int,
    stop: frozenset[int],
) -> Iterator[int]:
    uniform = random.Random(seed).random
    for _ in range(max_tokens):
        logits = model.next_token_logits(np.asarray(tokens[-context:], np.int32))
        token = _choose(logits, temperature, uniform())
        if token in stop:
            return
        tokens.append(token)
        yield token


def _choose(logits: npt.NDArray[np.float32], temperature: float, u: float) -> int:
    if temperature == 0:
        return int(np.argmax(logits))
    scaled = logits.astype(np.float64) / temperature
    cumulative = np.cumsum(np.exp(scaled - scaled.max()))
    # u < 1, but u * total may round up to total.
    index = int(np.searchsorted(cumulative, u * cumulative[-1], side="right"))
    return min(index, len(cumulative) - 1)
