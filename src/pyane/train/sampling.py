"""Choosing a token from logits."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError, DataError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen.

    The likeliest `top_k` tokens are kept, of these the likeliest that together reach `top_p`, and one of
    them is drawn in proportion to its probability.

    Attributes:
        temperature: Divides the logits. 0 always takes the likeliest token (of equals the first); 1
            samples from the model's distribution; below 1 favours likely tokens.
        top_k: Tokens to keep; 0: all.
        top_p: Probability to reach, after `top_k`; 1: all. The token that crosses it is kept.
        seed: Decides the samples.

    Raises:
        ConfigError: A value is out of range; the message names the flag.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            msg = f"--temperature must be at least 0 and finite, got {self.temperature}"
            raise ConfigError(msg)
        if self.top_k < 0:
            msg = f"--top-k must be at least 0, got {self.top_k}"
            raise ConfigError(msg)
        if not 0 < self.top_p <= 1:
            msg = f"--top-p must be above 0 and at most 1, got {self.top_p}"
            raise ConfigError(msg)


class Sampler:
    """Draws tokens one after the other; the same seed and logits give the same tokens."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._uniform = random.Random(sampling.seed).random

    def choose(self, logits: npt.NDArray[np.float32]) -> int:
        """A token, given the logits [V] of all.

        Raises:
            DataError: A logit is NaN or infinite: the model's numbers left fp16's range.
        """
        u = self._uniform()
        if not np.isfinite(logits).all():
            at = int(np.argmin(np.isfinite(logits)))
            msg = (
                f"the model's logits must be finite, got {logits[at]} for token {at}: its numbers "
                "left the range of fp16, in which the layers run"
            )
            raise DataError(msg)
        if self._sampling.temperature == 0:
            return int(np.argmax(logits))
        kept = self._kept(logits)
        cumulative = np.cumsum(_weights(logits[kept], self._sampling.temperature))
        # u < 1, but u * total may round up to total.
        index = int(np.searchsorted(cumulative, u * cumulative[-1], side="right"))
        return int(kept[min(index, len(kept) - 1)])

    def _kept(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
        """Tokens that may be drawn, in the order of their ids."""
        s, n = self._sampling, len(logits)
        kept = np.arange(n)
        if 0 < s.top_k < n:
            least = np.partition(logits, n - s.top_k)[n - s.top_k]
            kept = _likeliest(np.flatnonzero(logits >= least), logits)[: s.top_k]
        if s.top_p < 1:
            weights = _weights(logits[kept], s.temperature)
            total = weights.sum()
            # Most tokens need no sorting. One below this, and all that are not above it, which are n - 1
            # at most, have less than 1 - top_p together: those above it reach top_p without it.
            kept = kept[weights >= (1 - s.top_p) * total / n]
            kept = _likeliest(kept, logits)
            reached = np.cumsum(_weights(logits[kept], s.temperature)) >= s.top_p * total
            kept = kept[: int(np.argmax(reached)) + 1 if reached.any() else n]
        return np.sort(kept)


def _likeliest(
    tokens: npt.NDArray[np.intp], logits: npt.NDArray[np.float32]
) -> npt.NDArray[np.intp]:
    """The likeliest first, of equals the smallest id."""
    tokens = np.sort(tokens)
    return tokens[np.argsort(-logits[tokens], kind="stable")]


def _weights(logits: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float64]:
    """Unnormalised probabilities; the likeliest has 1."""
    shifted = logits.astype(np.float64) - float(logits.max())
    with np.errstate(over="ignore"):  # a tiny temperature: minus infinity, and weight 0
        weights: npt.NDArray[np.float64] = np.exp(shifted / temperature)
    return weights
