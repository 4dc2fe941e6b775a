"""Training only the tokens that occur: a small model for data that use few of many tokens.

Llama 2's tokenizer has 32,000 tokens, a small corpus uses a few thousand of them. The rows of the
others in the embedding table and in the classifier get no useful gradient, but cost memory, Adam
updates and most of the classifier's products. Compaction leaves them out: tokens are renumbered in
the order of their ids, and the model is built for as many.

It is exact: training sees the same losses and gradients as the whole model would if its softmax ran
over the tokens that occur. It is reversible: `Vocabulary.expand` gives the whole model, with the
trained rows in their places and every other row as training found it.

Those other rows were never told that their tokens do not occur: a new model would generate them. So
a run folder keeps a list of the tokens that take part, and `pyane generate` chooses among these.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ..atomic_file import atomic_write
from ..errors import CheckpointError, ShapeError
from ..llama import Config, Parameters
from .data import TokenArray

FILE_NAME: Final = "vocabulary.json"
_TABLES = ("token_embedding_table", "wcls")  # the weights with a row for every token


class Vocabulary:
    """The tokens that take part, and what the others' rows hold.

    Args:
        ids: The tokens that take part.
        whole: Sizes of the whole model.
        unused_rows: [n] fp32, as `unused_rows` of another instance; None: zeros.

    Attributes:
        ids: [K] int64, ascending.
        whole: Sizes of the whole model.
        unused_rows: [n] fp32, rows of the other tokens, in the embedding table and then, if there
            is one, the classifier.

    Raises:
        ShapeError: An id is outside [0, V), or there are none.
        CheckpointError: `unused_rows` are of another vocabulary.
    """

    def __init__(
        self,
        ids: Iterable[int],
        whole: Config,
        unused_rows: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self.ids = np.unique(np.fromiter(ids, np.int64))
        self.whole = whole
        if not len(self.ids) or self.ids[0] < 0 or self.ids[-1] >= whole.vocab_size:
            span = f"[{self.ids[0]}, {self.ids[-1]}]" if len(self.ids) else "none"
            msg = f"Vocabulary: ids must be in [0, {whole.vocab_size}), got {span}"
            raise ShapeError(msg)
        self._unused = np.setdiff1d(np.arange(whole.vocab_size), self.ids, assume_unique=True)
        self._tables = [name for name in _TABLES if name in whole.parameter_shapes]
        n = len(self._unused) * whole.dim * len(self._tables)
        self.unused_rows = np.zeros(n, np.float32) if unused_rows is None else unused_rows
        if self.unused_rows.shape != (n,):
            msg = (
                f"vocabulary: {n} numbers are needed for the {len(self._unused)} tokens that do "
                f"not occur, the training state has {self.unused_rows.size}"
            )
            raise CheckpointError(msg)

    @property
    def config(self) -> Config:
        """Sizes of the compacted model."""
        return dataclasses.replace(self.whole, vocab_size=len(self.ids))

    def compact(self, parameters: Parameters) -> Parameters:
        """The model of the tokens that take part; the others' rows are kept in `unused_rows`."""
        result = Parameters(self.config)
        for name, view in result.items():
            view[...] = parameters[name][self.ids] if name in _TABLES else parameters[name]
        for name, rows in zip(self._tables, self._row_blocks(), strict=True):
            rows[...] = parameters[name][self._unused]
        return result

    def expand(self, parameters: Parameters) -> Parameters:
        """Inverse of `compact`: a new copy of the whole model."""
        result = Parameters(self.whole)
        for name, view in result.items():
            if name in _TABLES:
                view[self.ids] = parameters[name]
            else:
                view[...] = parameters[name]
        for name, rows in zip(self._tables, self._row_blocks(), strict=True):
            result[name][self._unused] = rows
        return result

    def renumber(self, tokens: TokenArray) -> npt.NDArray[np.uint16] | npt.NDArray[np.int32]:
        """Tokens of the compacted model.

        Raises:
            ShapeError: One does not take part.
        """
        numbers = np.full(self.whole.vocab_size, -1, np.int32)
        numbers[self.ids] = np.arange(len(self.ids), dtype=np.int32)
        result = numbers[tokens]
        if result.size and result.min() < 0:
            at = int(np.argmin(result))
            msg = f"Vocabulary: token {tokens[at]} at position {at} does not take part"
            raise ShapeError(msg)
        return result.astype(np.uint16) if len(self.ids) <= 1 << 16 else result

    def _row_blocks(self) -> npt.NDArray[np.float32]:
        shape = (len(self._tables), len(self._unused), self.whole.dim)
        return self.unused_rows.reshape(shape)


def occurring(tokens: TokenArray, also: Iterable[int] = ()) -> list[int]:
    """Ids of the tokens that occur, and of those in `also` that are not negative, ascending."""
    found = np.zeros(1 << 16 if tokens.dtype == np.uint16 else int(tokens.max()) + 1, np.bool_)
    for start in range(0, len(tokens), 1 << 22):
        found[tokens[start : start + (1 << 22)]] = True
    return sorted({*np.flatnonzero(found).tolist(), *(i for i in also if i >= 0)})


def write_vocabulary(folder: Path, vocabulary: Vocabulary) -> None:
    """Write vocabulary.json: the ids that take part.

    Raises:
        CheckpointError: It could not be written.
    """
    write_ids(folder, vocabulary.whole.vocab_size, vocabulary.ids)


def write_ids(folder: Path, vocab_size: int, ids: npt.NDArray[np.integer]) -> None:
    """Write what `read_vocabulary` reads.

    Raises:
        CheckpointError: It could not be written.
    """
    path = folder / FILE_NAME
    content = {"vocab_size": vocab_size, "tokens": ids.tolist()}
    try:
        with atomic_write(path) as file:
            file.write(json.dumps(content).encode() + b"\n")
    except OSError as e:
        msg = f"{path}: could not be written ({e.strerror or e})"
        raise CheckpointError(msg) from e


def read_vocabulary(folder: Path, vocab_size: int) -> npt.NDArray[np.int64] | None:
    """The ids [K] that took part in training the weights in a folder; None when all did.

    Raises:
        CheckpointError: The list is damaged, or of another model.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        n, ids = int(content["vocab_size"]), np.array(content["tokens"], np.int64)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as e:
        msg = f"{path}: list of tokens cannot be read ({e!r})"
        raise CheckpointError(msg) from e
    if n != vocab_size or ids.ndim != 1 or not len(ids) or ids.min() < 0 or ids.max() >= n:
        msg = f"{path}: must list tokens of {vocab_size}, got {ids.size} of {n}"
        raise CheckpointError(msg)
    return ids
