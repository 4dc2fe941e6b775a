"""Continuing a sequence of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError
from .sampling import Sampler, Sampling


class NextToken(Protocol):
    """The part of `pyane.llama.Decoder` (or `Model`) that generation needs."""

    def next_token_logits(self, tokens: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Logits [V] of the token after `tokens` [S]."""


def generate(
    model: NextToken,
    prompt: Sequence[int],
    max_tokens: int,
    *,
    context: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    stop: frozenset[int] = frozenset(),
    vocab_size: int | None = None,
    allowed: npt.NDArray[np.integer[Any]] | None = None,
) -> Iterator[int]:
    """Tokens that continue `prompt`, one at a time.

    Args:
        model: Gives the logits. A `Decoder` remembers what the last call had in common with this one.
        prompt: At least one token.
        max_tokens: Most tokens to generate.
        context: Positions the model can see. Of a longer prompt it sees the last ones. A text that grows
            beyond is cut to the last half of them, and again when that is full: so the model sees at
            least half a context, and its cache serves for as long.
        temperature: See `Sampling`.
        top_k: See `Sampling`.
        top_p: See `Sampling`.
        seed: See `Sampling`.
        stop: Tokens that end the text; not part of what is generated.
        vocab_size: Tokens that the tokenizer knows, where the model has some more; None: all.
        allowed: [K] ids that may be generated, where a model was trained on some only (see
            `pyane.train.vocabulary`); None: all.

    Raises:
        ConfigError: An argument is out of range.
        DataError: From the iterator: the model's logits are not finite.
    """
    if not prompt:
        msg = "generate: prompt must hold at least one token, got none"
        raise ConfigError(msg)
    if max_tokens < 0:
        msg = f"--max-tokens must be at least 0, got {max_tokens}"
        raise ConfigError(msg)
    if context < 1:
        msg = f"generate: context must be at least 1, got {context}"
        raise ConfigError(msg)
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    choices = slice(vocab_size) if allowed is None else allowed
    return _generate(model, list(prompt), max_tokens, context, Sampler(sampling), stop, choices)


def _generate(
    model: NextToken,
    tokens: list[int],
    max_tokens: int,
    context: int,
    sampler: Sampler,
    stop: frozenset[int],
    choices: slice | npt.NDArray[np.integer[Any]],
) -> Iterator[int]:
    start = max(0, len(tokens) - context)
    for _ in range(max_tokens):
        if len(tokens) - start > context:
            start = len(tokens) - (context + 1) // 2
        logits = model.next_token_logits(np.asarray(tokens[start:], np.int32))
        token = sampler.choose(logits[choices])
        if not isinstance(choices, slice):
            token = int(choices[token])
        if token in stop:
            return
        tokens.append(token)
        yield token
