"""Texts to a token file, in parallel."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..atomic_file import atomic_write
from ..errors import ConfigError, DataError
from .data import encode_documents
from .documents import TextFile, scan
from .token_file import DTYPES, FORMAT, VERSION, description_path, token_dtype
from .tokenizer import Tokenizer, load_tokenizer

# Characters that go to a worker at once: enough to forget what sending them costs.
_BATCH = 1 << 18

OnProgress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What came out.

    Attributes:
        path: The token file.
        n_tokens: Tokens in it.
        n_documents: Documents, each of which begins with BOS.
        n_bytes: Bytes of text.
        vocab_size: Of the tokenizer.
        dtype: "uint16" or "uint32".
    """

    path: Path
    n_tokens: int
    n_documents: int
    n_bytes: int
    vocab_size: int
    dtype: str


def prepare(
    texts: Sequence[Path],
    tokenizer: Path,
    output: Path,
    *,
    jobs: int = 1,
    on_progress: OnProgress = lambda _done, _total: None,
) -> Prepared:
    """Tokenise text files into one token file, with its description beside it.

    The result does not depend on `jobs`. Files that stand at `output` are replaced when all is done,
    and stay as they are when anything fails or is interrupted.

    Args:
        texts: UTF-8 text files; documents are separated by `<|endoftext|>` or, where that does not
            occur, by blank lines.
        tokenizer: Tokenizer file.
        output: Token file to write; see `token_file`.
        jobs: Processes that tokenise; 1: this one. More are started anew ("spawn"), so that a script
            needs its `if __name__ == "__main__"`.
        on_progress: Told how many characters of how many are done; the latter is an upper bound.

    Raises:
        ConfigError: `jobs` is not positive, there is no text, or `output` is one of the inputs.
        DataError: A text or the tokenizer cannot be used, `output` cannot be written, or a worker died.
    """
    if jobs < 1:
        msg = f"--jobs must be at least 1, got {jobs}"
        raise ConfigError(msg)
    if not texts:
        msg = "prepare: at least one text is needed"
        raise ConfigError(msg)
    for path in (*texts, tokenizer):
        if path.resolve() in (output.resolve(), description_path(output).resolve()):
            msg = f"--output {output}: must not replace an input, {path}"
            raise ConfigError(msg)
    encoder = load_tokenizer(tokenizer)
    files = [scan(path) for path in texts]
    dtype = token_dtype(encoder.vocab_size)
    digest = hashlib.sha256()
    total = sum(file.n_bytes for file in files)
    n_tokens = n_documents = done = 0
    jobs = min(jobs, 1 + total // _BATCH)  # a small text is done before they have started
    try:
        with atomic_write(output) as out, _encoded(files, encoder, dtype, jobs) as batches:
            for tokens, documents, characters in batches:
                _write(out, tokens, digest)
                n_tokens += len(tokens) // np.dtype(DTYPES[dtype]).itemsize
                n_documents += documents
                done += characters
                on_progress(done, total)
        description = {
            "format": FORMAT,
            "version": VERSION,
            "dtype": dtype,
            "n_tokens": n_tokens,
            "vocab_size": encoder.vocab_size,
            "sha256": digest.hexdigest(),
            "tokenizer": {"file": tokenizer.name, "sha256": encoder.sha256},
            "sources": [
                {"file": file.path.name, "n_bytes": file.n_bytes, "sha256": file.sha256}
                for file in files
            ],
        }
        with atomic_write(description_path(output)) as out:
            out.write(json.dumps(description, indent=2).encode() + b"\n")
    except OSError as e:
        msg = f"{output}: could not be written ({e.strerror or e})"
        raise DataError(msg) from e
    except BrokenProcessPool as e:
        msg = "a process that tokenised was killed (out of memory?); try a smaller --jobs"
        raise DataError(msg) from e
    on_progress(total, total)
    return Prepared(output, n_tokens, n_documents, total, encoder.vocab_size, dtype)


def _write(out: BinaryIO, tokens: bytes, digest: hashlib._Hash) -> None:
    digest.update(tokens)
    out.write(tokens)


_Encoded = tuple[bytes, int, int]


@contextlib.contextmanager
def _encoded(
    files: Iterable[TextFile], tokenizer: Tokenizer, dtype: str, jobs: int
) -> Iterator[Iterator[_Encoded]]:
    """Tokens, number of documents and of characters of every batch, in order."""
    batches = _batches(document for file in files for document in file.documents())
    if jobs == 1:
        yield (_encode(batch, tokenizer, dtype) for batch in batches)
        return
    executor = concurrent.futures.ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(tokenizer, dtype),
    )
    try:
        yield _in_order(executor, batches, 2 * jobs)
    finally:
        executor.shutdown(cancel_futures=True)


def _in_order(
    executor: concurrent.futures.Executor, batches: Iterator[list[str]], window: int
) -> Iterator[_Encoded]:
    """Results in the order of the batches, of which no more than `window` are under way."""
    waiting: collections.deque[concurrent.futures.Future[_Encoded]] = collections.deque()
    for batch in batches:
        with _ctrl_c_waits():
            waiting.append(executor.submit(_work, batch))
        if len(waiting) >= window:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _batches(documents: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _encode(batch: list[str], tokenizer: Tokenizer, dtype: str) -> _Encoded:
    ids = (token for document in encode_documents(batch, tokenizer) for token in document)
    tokens = np.fromiter(ids, DTYPES[dtype]).tobytes()
    return tokens, len(batch), sum(map(len, batch))


@contextlib.contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Processes started here inherit the mask: Ctrl-C reaches the whole group, but is for the parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# What a worker works with, set once.
_worker: list[tuple[Tokenizer, str]] = []


def _start_worker(tokenizer: Tokenizer, dtype: str) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _worker.append((tokenizer, dtype))


def _work(batch: list[str]) -> _Encoded:
    tokenizer, dtype = _worker[0]
    return _encode(batch, tokenizer, dtype)
