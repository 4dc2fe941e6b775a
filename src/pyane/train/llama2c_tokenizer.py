"""llama2.c's `tokenizer.bin`: reader, writer and byte-pair encoder.

File, little-endian:

    int32 max_token_length
    per token, to the end of the file:
        float32 score     merges with a higher score come first
        int32   length    bytes in the piece, at most max_token_length
        uint8   piece[length]

Tokens 0, 1, 2 are unknown, BOS and EOS; 3 + b is the byte b. Encoding follows llama2.c's `encode`: a
space before the text, one token per character (its bytes where the vocabulary lacks it), then the
best-scored neighbouring pair is merged, the leftmost of equals first, until none is left.
Source: github.com/karpathy/llama2.c, run.c and tokenizer.py (MIT).
"""

from __future__ import annotations

import heapq
import math
import struct
from collections.abc import Sequence

from ..errors import DataError
from .tokenizer_base import Tokenizer

_FIRST_BYTE_ID = 3
_MIN_VOCAB = _FIRST_BYTE_ID + 256


class Llama2cTokenizer(Tokenizer):
    """Tokenizer read from llama2.c's format.

    Args:
        data: Contents of the file.
        source: Its name, for error messages.

    Raises:
        DataError: Truncated, or lying about its contents.
    """

    file_name = "tokenizer.bin"
    bos_id = 1
    eos_id = 2

    def __init__(self, data: bytes, source: str = "tokenizer.bin") -> None:
        self._data = data
        self._pieces, self._scores = _parse(data, source)
        self.vocab_size = len(self._pieces)
        self._ids: dict[bytes, int] = {}
        for i, piece in enumerate(self._pieces):
            self._ids.setdefault(piece, i)
        self._output = [_output_bytes(i, p) for i, p in enumerate(self._pieces)]

    def encode(self, text: str, bos: bool = True, eos: bool = False) -> list[int]:
        """See `Tokenizer.encode`."""
        ids: list[int] = []
        if text:
            for character in " " + text:
                raw = character.encode("utf-8", "surrogatepass")
                known = self._ids.get(raw)
                ids += [known] if known is not None else [_FIRST_BYTE_ID + b for b in raw]
        merged = self._merge(ids)
        return [*([self.bos_id] if bos else []), *merged, *([self.eos_id] if eos else [])]

    def _merge(self, ids: list[int]) -> list[int]:
        """Best-scored merges first. A heap and a linked list: n log n instead of n^2."""
        n = len(ids)
        tokens: list[int | None] = list(ids)
        after = list(range(1, n + 1))
        before = list(range(-1, n - 1))
        heap: list[tuple[float, int, int, int, int]] = []

        def offer(left: int, right: int) -> None:
            a, b = tokens[left], tokens[right]
            assert a is not None
            assert b is not None
            merged = self._ids.get(self._pieces[a] + self._pieces[b])
            if merged is not None:
                heapq.heappush(heap, (-self._scores[merged], left, right, a, b))

        for i in range(n - 1):
            offer(i, i + 1)
        while heap:
            _, left, right, a, b = heapq.heappop(heap)
            # Stale when either side has been merged since it was offered.
            if tokens[left] != a or right >= n or tokens[right] != b or after[left] != right:
                continue
            tokens[left] = self._ids[self._pieces[a] + self._pieces[b]]
            tokens[right] = None
            after[left] = after[right]
            if after[left] < n:
                before[after[left]] = left
                offer(left, after[left])
            if before[left] >= 0:
                offer(before[left], left)
        return [t for t in tokens if t is not None]

    def piece_bytes(self, token: int) -> bytes:
        """See `Tokenizer.piece_bytes`."""
        self._check(token)
        return self._output[token]

    def serialized(self) -> bytes:
        """The file as it was read."""
        return self._data


def serialize(pieces: Sequence[str], scores: Sequence[float]) -> bytes:
    """A `tokenizer.bin` of SentencePiece pieces, U+2581 for a space, in the order of their ids.

    BOS and EOS are written as llama2.c's tokenizer.py writes them.
    """
    special = {1: "\n<s>\n", 2: "\n</s>\n"}
    raw = [
        special.get(i, piece).replace("\u2581", " ").encode("utf-8", "surrogatepass")
        for i, piece in enumerate(pieces)
    ]
    parts = [struct.pack("<i", max(map(len, raw), default=0))]
    for piece, score in zip(raw, scores, strict=True):
        parts += [struct.pack("<fi", score, len(piece)), piece]
    return b"".join(parts)


def _output_bytes(token: int, piece: bytes) -> bytes:
    if token in (Llama2cTokenizer.bos_id, Llama2cTokenizer.eos_id):
        return b""
    if _FIRST_BYTE_ID <= token < _MIN_VOCAB:
        return bytes([token - _FIRST_BYTE_ID])
    return piece


def _parse(data: bytes, source: str) -> tuple[list[bytes], list[float]]:
    if len(data) < 4:
        msg = f"{source}: not a llama2.c tokenizer: {len(data)} bytes, its header alone has 4"
        raise DataError(msg)
    (max_length,) = struct.unpack_from("<i", data)
    if max_length < 1:
        msg = f"{source}: not a llama2.c tokenizer: max_token_length must be positive, got {max_length}"
        raise DataError(msg)
    pieces: list[bytes] = []
    scores: list[float] = []
    at = 4
    while at < len(data):
        where = f"{source}: token {len(pieces)} at offset {at}"
        if at + 8 > len(data):
            msg = f"{where} needs 8 bytes, but the file ends at {len(data)}"
            raise DataError(msg)
        score, length = struct.unpack_from("<fi", data, at)
        at += 8
        if not math.isfinite(score):
            msg = f"{where}: score must be finite, got {score}"
            raise DataError(msg)
        if not 0 <= length <= max_length:
            msg = f"{where}: length must be in [0, {max_length}] (max_token_length), got {length}"
            raise DataError(msg)
        if at + length > len(data):
            msg = f"{where}: piece needs {length} bytes, but the file ends at {len(data)}"
            raise DataError(msg)
        pieces.append(data[at : at + length])
        scores.append(score)
        at += length
    if len(pieces) < _MIN_VOCAB:
        msg = f"{source}: must hold at least {_MIN_VOCAB} tokens (3 special, 256 bytes), got {len(pieces)}"
        raise DataError(msg)
    for b in range(256):
        expected = b"<0x%02X>" % b
        if pieces[_FIRST_BYTE_ID + b] != expected:
            msg = (
                f"{source}: token {_FIRST_BYTE_ID + b} must be the byte {expected.decode()}, "
                f"got {pieces[_FIRST_BYTE_ID + b]!r}"
            )
            raise DataError(msg)
    return pieces, scores
