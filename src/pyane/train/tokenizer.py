"""Tokenizers behind one interface: SentencePiece models, llama2.c's `tokenizer.bin`, tokenizer.json."""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigError
from .files import read_bytes
from .huggingface_tokenizer import HuggingFaceTokenizer
from .llama2c_tokenizer import Llama2cTokenizer
from .sentencepiece_tokenizer import SentencePieceTokenizer, train_tokenizer
from .tokenizer_base import StreamDecoder, Tokenizer

__all__ = ["StreamDecoder", "Tokenizer", "check_vocabulary", "load_tokenizer", "train_tokenizer"]

# A tokenizer larger than this is not one (Llama 3's, with 128k pieces, has 2 MB).
_MAX_FILE_BYTES = 256 << 20


def load_tokenizer(path: Path) -> Tokenizer:
    """Open a tokenizer file.

    Args:
        path: llama2.c's format when its name ends in `.bin`, Hugging Face's when it ends in `.json`, else
            a SentencePiece model.

    Raises:
        DataError: Missing, unreadable, or not of that kind.
    """
    data = read_bytes(path, "tokenizer", _MAX_FILE_BYTES)
    if path.suffix == ".bin":
        return Llama2cTokenizer(data, str(path))
    if path.suffix == ".json":
        return HuggingFaceTokenizer.open(path, data)
    return SentencePieceTokenizer(data, str(path))


def check_vocabulary(tokenizer: Tokenizer, vocab_size: int, source: str) -> None:
    """Make sure that a model of `vocab_size` tokens fits to its tokenizer.

    Models of Hugging Face may have some more tokens than their tokenizer, for round sizes.

    Raises:
        ConfigError: They do not fit.
    """
    n = tokenizer.vocab_size
    if n == vocab_size or (n < vocab_size and tokenizer.may_be_smaller):
        return
    msg = (
        f"{source}: tokenizer has {n} tokens, the model {vocab_size}; "
        "a model needs the tokenizer it was trained with (--tokenizer FILE)"
    )
    raise ConfigError(msg)
