"""A text from the model in training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..llama import Decoder
from .generate import generate

if TYPE_CHECKING:
    from .session import Session


def why_no_sample(session: Session) -> str:
    """Empty when `sample` can work, else the reason and what to do."""
    if session.tokenizer is None:
        return "the token file came without a tokenizer (--tokenizer FILE)"
    if session.tokenizer.bos_id < 0:
        return "the tokenizer has no token to begin a text with"
    return ""


def sample(session: Session, max_tokens: int, temperature: float = 0.5) -> Iterator[str]:
    """A text from its beginning, piece by piece; the same for the same weights.

    Args:
        session: `why_no_sample` says nothing to it.
        max_tokens: Most tokens.
        temperature: As for `generate`.

    Raises:
        CompileBudgetError: The kernels for it cannot be compiled any more.
    """
    tokenizer, vocabulary = session.tokenizer, session.vocabulary
    if tokenizer is None:
        return
    ids = vocabulary.ids.tolist() if vocabulary else range(tokenizer.vocab_size)
    number = {token: i for i, token in enumerate(ids)}
    stop = {number[t] for t in (tokenizer.bos_id, tokenizer.eos_id) if t in number}
    stream = tokenizer.stream()
    model, config = session.model, session.trainer.config
    with Decoder(model.config, model.parameters, model.device, context=config.seq_len) as decoder:
        for i in generate(
            decoder,
            [number[tokenizer.bos_id]],
            max_tokens,
            context=config.seq_len,
            temperature=temperature,
            seed=config.seed,
            stop=frozenset(stop),
            vocab_size=len(ids),
        ):
            yield stream.add(ids[i])
    yield stream.finish()
