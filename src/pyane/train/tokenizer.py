"""Tokenizers behind one interface: SentencePiece models and llama2.c's `tokenizer.bin`."""

from __future__ import annotations

from pathlib import Path

from .files import read_bytes
from .llama2c_tokenizer import Llama2cTokenizer
from .sentencepiece_tokenizer import SentencePieceTokenizer, train_tokenizer
from .tokenizer_base import StreamDecoder, Tokenizer

__all__ = ["StreamDecoder", "Tokenizer", "load_tokenizer", "train_tokenizer"]

# A tokenizer larger than this is not one (Llama 3's, with 128k pieces, has 2 MB).
_MAX_FILE_BYTES = 256 << 20


def load_tokenizer(path: Path) -> Tokenizer:
    """Open a tokenizer file: SentencePiece, or llama2.c's format when its name ends in `.bin`.

    Raises:
        DataError: Missing, unreadable, or neither of the two.
    """
    data = read_bytes(path, "tokenizer", _MAX_FILE_BYTES)
    if path.suffix == ".bin":
        return Llama2cTokenizer(data, str(path))
    return SentencePieceTokenizer(data, str(path))
