"""Training data: text and token files, the held-out part, and the order sequences are drawn in.

Shape letters: B sequences of a micro-batch, S positions.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .documents import END_OF_TEXT
from .files import read_bytes
from .token_file import TokenArray, open_token_file
from .tokenizer_base import Tokenizer

__all__ = [
    "Batch",
    "Dataset",
    "Sampler",
    "TokenArray",
    "data_hash",
    "encode_documents",
    "encode_text",
    "open_token_file",
    "read_text",
    "split",
    "split_documents",
]

Batch = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]

# Text is tokenised in memory, at some ten bytes a character. Larger corpora come as .bin files.
_MAX_TEXT_BYTES = 1 << 30

_MASK64 = (1 << 64) - 1


def read_text(path: Path) -> str:
    """Contents of a UTF-8 text file, line ends as newlines.

    Raises:
        DataError: Missing, unreadable, a folder, empty, too large, or not UTF-8 (with the place).
    """
    raw = read_bytes(path, "text file", _MAX_TEXT_BYTES)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        start = e.start + (3 if raw.startswith(b"\xef\xbb\xbf") else 0)
        line = raw.count(b"\n", 0, start) + 1
        msg = f"{path}:{line}: text must be UTF-8, got byte 0x{raw[start]:02x} at offset {start}"
        raise DataError(msg) from e
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        msg = f"{path}: text file holds no text ({len(raw)} bytes)"
        raise DataError(msg)
    return text


def split_documents(text: str) -> list[str]:
    """Documents of a text: separated by `<|endoftext|>` where that occurs, else by blank lines."""
    parts = text.split(END_OF_TEXT) if END_OF_TEXT in text else re.split(r"\n[ \t]*\n", text)
    return [p.strip("\n") for p in parts if p.strip()]


def encode_documents(documents: Sequence[str], tokenizer: Tokenizer) -> list[list[int]]:
    """Tokens of documents, each with BOS before it, or EOS behind it where the vocabulary lacks BOS."""
    encoded = tokenizer.encode_all(documents)
    if tokenizer.bos_id < 0 <= tokenizer.eos_id:
        return [[*ids, tokenizer.eos_id] for ids in encoded]
    return encoded


def encode_text(text: str, tokenizer: Tokenizer) -> TokenArray:
    """Tokens of a text's documents one after the other, as `encode_documents` gives them."""
    dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.int32
    documents = encode_documents(split_documents(text), tokenizer)
    return np.fromiter((t for ids in documents for t in ids), dtype=dtype)


def data_hash(tokens: TokenArray) -> str:
    """SHA-256 of the tokens as int32, by which a resumed run recognises its data."""
    digest = hashlib.sha256()
    for start in range(0, len(tokens), 1 << 22):
        digest.update(tokens[start : start + (1 << 22)].astype("<i4").tobytes())
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Tokens to train on and tokens held out, both whole at least one sequence.

    Attributes:
        train: Tokens of the training part.
        held_out: Tokens of the end of the data, never trained on.
        seq_len: Positions per sequence, S.
        hash: `data_hash` of all tokens.
    """

    train: TokenArray
    held_out: TokenArray
    seq_len: int
    hash: str

    @property
    def n_sequences(self) -> int:
        """Disjoint training sequences in one pass over the data."""
        return (len(self.train) - 1) // self.seq_len

    def held_out_batches(self, batch_size: int, n_sequences: int) -> Iterator[Batch]:
        """Up to `n_sequences` sequences spread evenly over the held-out part, always the same.

        The last batch may be smaller.
        """
        available = (len(self.held_out) - 1) // self.seq_len
        n = min(n_sequences, available)
        starts = np.arange(n) * available // n * self.seq_len
        for i in range(0, n, batch_size):
            yield _windows(self.held_out, starts[i : i + batch_size], self.seq_len)


def split(tokens: TokenArray, seq_len: int, held_out_fraction: float, source: str) -> Dataset:
    """Hold out the last part of the data: the fraction asked for, at least one sequence.

    Raises:
        DataError: Too few tokens for one sequence in each part.
    """
    need = seq_len + 1
    if len(tokens) < 2 * need:
        msg = (
            f"{source}: {2 * need} tokens are needed (one training and one held-out sequence of "
            f"{seq_len} and their targets), got {len(tokens)}. Give more text or a smaller --seq-len"
        )
        raise DataError(msg)
    n_held_out = min(max(int(len(tokens) * held_out_fraction), need), len(tokens) - need)
    cut = len(tokens) - n_held_out
    return Dataset(tokens[:cut], tokens[cut:], seq_len, data_hash(tokens))


class Sampler:
    """Which sequences step n trains on: a pure function of seed and step, so any step can resume.

    Each pass over the data cuts it at another offset into disjoint sequences and visits them in
    another order. The order comes from a hash (splitmix64), not from a generator whose stream may
    change between NumPy releases.

    Args:
        dataset: Where sequences come from.
        batch_size: B.
        seed: Any integer.
    """

    def __init__(self, dataset: Dataset, batch_size: int, seed: int) -> None:
        self._dataset = dataset
        self._batch_size = batch_size
        self._seed = seed
        self._pass = -1
        self._starts = np.empty(0, np.int64)

    def batch(self, index: int) -> Batch:
        """Tokens and targets [B, S] int32 of the index-th micro-batch since the run began."""
        d = self._dataset
        first = index * self._batch_size
        starts = np.empty(self._batch_size, np.int64)
        for i in range(self._batch_size):
            which, position = divmod(first + i, d.n_sequences)
            if which != self._pass:
                self._starts = self._order(which)
                self._pass = which
            starts[i] = self._starts[position]
        return _windows(d.train, starts, d.seq_len)

    def _order(self, which: int) -> npt.NDArray[np.int64]:
        d = self._dataset
        seed = np.array([self._seed & _MASK64], np.uint64)
        key = _splitmix64(np.add(_splitmix64(seed), np.array([which], np.uint64)))
        spare = len(d.train) - 1 - d.n_sequences * d.seq_len
        offset = int(key[0]) % (spare + 1)
        ranks = _splitmix64(np.add(key, np.arange(1, d.n_sequences + 1, dtype=np.uint64)))
        return np.argsort(ranks, kind="stable") * d.seq_len + offset


def _splitmix64(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Finaliser of the splitmix64 generator (Steele, Lea, Flood 2014), modulo 2^64."""
    x = np.add(x, np.uint64(0x9E3779B97F4A7C15))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _windows(tokens: TokenArray, starts: npt.NDArray[np.int64], seq_len: int) -> Batch:
    """Sequences of `seq_len` from each start, and the same moved on by one."""
    rows = starts[:, None] + np.arange(seq_len + 1)
    both = np.asarray(tokens)[rows].astype(np.int32)
    return both[:, :-1].copy(), both[:, 1:].copy()
