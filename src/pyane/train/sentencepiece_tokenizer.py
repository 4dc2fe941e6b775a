"""SentencePiece models: loading, training, and the library behind pyane's tokenizer interface."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import sentencepiece as spm

from ..errors import DataError
from .llama2c_tokenizer import Llama2cTokenizer, serialize
from .tokenizer_base import Tokenizer

# SentencePiece trains on no line above 4192 bytes, and says nothing; characters have up to four.
_MAX_LINE = 1024


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece model.

    Args:
        model: Contents of the `.model` file.
        source: Its name, for error messages.

    Raises:
        DataError: Not a SentencePiece model.
    """

    file_name = "tokenizer.model"

    def __init__(self, model: bytes, source: str = "tokenizer") -> None:
        spm.set_min_log_level(3)
        self._model = model
        if not model:
            msg = f"{source}: not a SentencePiece model (empty file)"
            raise DataError(msg)
        try:
            self._processor = spm.SentencePieceProcessor(model_proto=model)
        except (RuntimeError, OSError, ValueError) as e:
            msg = f"{source}: not a SentencePiece model ({_first_line(e)})"
            raise DataError(msg) from e
        p = self._processor
        self.vocab_size = p.get_piece_size()
        self.bos_id = p.bos_id()
        self.eos_id = p.eos_id()
        self._pieces = [self._bytes_of(i) for i in range(self.vocab_size)]

    def _bytes_of(self, token: int) -> bytes:
        p = self._processor
        piece: str = p.id_to_piece(token)
        if p.is_byte(token):
            return bytes([int(piece[3:5], 16)])
        if p.is_control(token):
            return b""
        if p.is_unknown(token):
            return " \u2047 ".encode()  # SentencePiece's own mark for it
        return piece.replace("\u2581", " ").encode()

    def encode(self, text: str, bos: bool = True, eos: bool = False) -> list[int]:
        """See `Tokenizer.encode`."""
        ids: list[int] = self._processor.encode(text)
        return [*self._bos(bos), *ids, *([self.eos_id] if eos and self.eos_id >= 0 else [])]

    def encode_all(self, texts: Sequence[str], bos: bool = True) -> list[list[int]]:
        """`encode` of every text, faster than one by one."""
        encoded: list[list[int]] = self._processor.encode(list(texts))
        return [[*self._bos(bos), *ids] for ids in encoded]

    def _bos(self, wanted: bool) -> list[int]:
        return [self.bos_id] if wanted and self.bos_id >= 0 else []

    def piece_bytes(self, token: int) -> bytes:
        """See `Tokenizer.piece_bytes`."""
        self._check(token)
        return self._pieces[token]

    def serialized(self) -> bytes:
        """The `.model` file."""
        return self._model

    def to_llama2c(self, source: str = "tokenizer") -> Llama2cTokenizer:
        """The same vocabulary in llama2.c's format.

        Args:
            source: Name for error messages.

        Raises:
            DataError: llama2.c cannot use it: it is no byte-pair encoding with a token for every byte.
        """
        p = self._processor
        scores = [p.get_score(i) for i in range(self.vocab_size)]
        if any(score != round(score) for score in scores):
            msg = (
                f"{source}: llama2.c merges pairs by rank, for which the vocabulary must be a byte-pair "
                "encoding; its scores are not ranks"
            )
            raise DataError(msg)
        data = serialize([p.id_to_piece(i) for i in range(self.vocab_size)], scores)
        return Llama2cTokenizer(data, f"{source} as tokenizer.bin")


def train_tokenizer(text: str, vocab_size: int) -> SentencePieceTokenizer:
    """Train a byte-fallback BPE on `text`; the same text gives the same model.

    Set up as llama2.c's 512-token vocabulary was: nothing normalised, digits apart, every
    character reachable through its bytes.

    Raises:
        DataError: The text has too few different words for that many tokens.
    """
    options: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hard_vocab_limit": False,  # fewer where the text has too few different words
        "model_type": "bpe",
        "byte_fallback": True,
        "character_coverage": 0.9999,  # rarer characters are spelled in bytes
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "split_digits": True,
        "num_threads": 1,
        "minloglevel": 3,
    }
    model = io.BytesIO()
    lines = (part for line in text.splitlines() if line.strip() for part in _short(line))
    try:
        spm.SentencePieceTrainer.train(sentence_iterator=lines, model_writer=model, **options)
    except (RuntimeError, ValueError) as e:
        msg = (
            f"cannot train a tokenizer of {vocab_size} tokens on {len(text)} characters of text "
            f"({_first_line(e)}). Give more text, or a tokenizer with --tokenizer"
        )
        raise DataError(msg) from e
    return SentencePieceTokenizer(model.getvalue())


def _short(line: str) -> Iterator[str]:
    """The line in parts short enough for SentencePiece, cut between words where there are any."""
    start = 0
    while len(line) - start > _MAX_LINE:
        cut = line.rfind(" ", start + 1, start + _MAX_LINE + 1)
        if cut < 0:
            cut = start + _MAX_LINE
        yield line[start:cut]
        start = cut + (line[cut] == " ")  # it puts a space before each part itself
    yield line[start:]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
