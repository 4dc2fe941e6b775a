"""A text from the model in training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .generate import NextToken, generate

if TYPE_CHECKING:
    from .session import Session


def why_no_sample(session: Session) -> str:
    """Empty when `sample` can work, else the reason and what to do."""
    if session.tokenizer is None:
        return "the token file came without a tokenizer (--tokenizer FILE)"
    if session.tokenizer.bos_id < 0:
        return "the tokenizer has no token to begin a text with"
    return ""


def sample(
    session: Session, model: NextToken, max_tokens: int, temperature: float = 0.5
) -> Iterator[str]:
    """A text from its beginning, piece by piece; the same for the same weights.

    Args:
        session: A run of which `why_no_sample` says nothing.
        model: The session's model, with its weights uploaded, or a decoder of its parameters.
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
    for i in generate(
        model,
        [number[tokenizer.bos_id]],
        max_tokens,
        context=session.trainer.config.seq_len,
        temperature=temperature,
        seed=session.trainer.config.seed,
        stop=frozenset(stop),
        vocab_size=len(ids),
    ):
        yield stream.add(ids[i])
    yield stream.finish()
