"""What every tokenizer offers, and decoding one token at a time."""

from __future__ import annotations

import abc
import codecs
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..atomic_file import atomic_write
from ..errors import DataError


class Tokenizer(abc.ABC):
    """Text to token ids and back.

    Attributes:
        vocab_size: Number of tokens; ids are in [0, vocab_size).
        bos_id: Token that begins a text, or -1 when the vocabulary has none.
        eos_id: Token that ends a text, or -1.
        file_name: Name under which a run folder keeps it.
        adds_space: A text is encoded with a space before it, which decoding takes back.
        may_be_smaller: Models may have some more tokens than this.
    """

    vocab_size: int
    bos_id: int
    eos_id: int
    file_name: str
    adds_space: bool = True
    may_be_smaller: bool = False

    @abc.abstractmethod
    def encode(self, text: str, bos: bool = True, eos: bool = False) -> list[int]:
        """Token ids of `text`, with BOS before and EOS after it as asked."""

    @abc.abstractmethod
    def piece_bytes(self, token: int) -> bytes:
        """UTF-8 bytes the token stands for, possibly a part of a character; b"" for BOS and EOS.

        Raises:
            DataError: The id is outside [0, vocab_size).
        """

    @abc.abstractmethod
    def serialized(self) -> bytes:
        """Contents of the tokenizer's file."""

    @property
    def sha256(self) -> str:
        """Hash of the tokenizer's file, by which prepared tokens know it."""
        return hashlib.sha256(self.serialized()).hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        """For sending to other processes."""
        return type(self), (self.serialized(), self.file_name)

    def encode_all(self, texts: Sequence[str], bos: bool = True) -> list[list[int]]:
        """`encode` of every text."""
        return [self.encode(t, bos=bos) for t in texts]

    def decode(self, tokens: Iterable[int]) -> str:
        """Text of the tokens; bytes that are not UTF-8 become U+FFFD.

        Raises:
            DataError: An id is outside [0, vocab_size).
        """
        stream = self.stream()
        return "".join([stream.add(t) for t in tokens]) + stream.finish()

    def stream(self) -> StreamDecoder:
        """A decoder that takes one token at a time."""
        return StreamDecoder(self)

    def save(self, path: Path) -> None:
        """Write the tokenizer's file, replacing an old one only when the new one is complete."""
        with atomic_write(path) as file:
            file.write(self.serialized())

    def _check(self, token: int) -> None:
        if not 0 <= token < self.vocab_size:
            msg = f"decode: token {token} is outside [0, {self.vocab_size})"
            raise DataError(msg)


class StreamDecoder:
    """Text of a growing sequence of tokens. Characters appear once all their bytes have come."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True

    def add(self, token: int) -> str:
        """Text that the token completes, "" when it ends within a character."""
        piece = self._tokenizer.piece_bytes(token)
        if self._at_start and piece:
            self._at_start = False
            if self._tokenizer.adds_space:
                piece = piece.removeprefix(b" ")
        elif token == self._tokenizer.bos_id:
            self._at_start = True
        return self._utf8.decode(piece)

    def finish(self) -> str:
        """What is left of an incomplete character."""
        return self._utf8.decode(b"", final=True)
