"""`pyane data`: corpora, and texts to token files."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Optional

import typer


def prepare(
    texts: Annotated[
        list[Path],
        typer.Argument(metavar="TEXT...", help="UTF-8 text files, in the order they are to have."),
    ],
    tokenizer: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="SentencePiece .model, llama2.c .bin or Hugging Face .json."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Token file, ending in .bin.")
    ] = Path("tokens.bin"),
    jobs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--jobs", "-j", min=1, max=1024, help="Processes. Default: all cores."),
    ] = None,
) -> None:
    """Tokenise texts into a file that pyane train --data maps into memory.

    Documents are separated by <|endoftext|> or, where that does not occur, by blank lines; each begins with the tokenizer's BOS. A description goes beside the tokens, FILE.json: vocabulary size, type, and hashes of tokens, tokenizer and texts. The same texts give the same file for any number of processes. Ctrl-C leaves nothing behind.

    \b
    Examples:
      pyane data prepare tinystories.txt --tokenizer tokenizer.model -o tokens.bin
      pyane train --data tokens.bin --tokenizer tokenizer.model --preset stories15m
    """  # noqa: D301  (\b keeps the lines of the example apart)
    from ..errors import ConfigError
    from ..train import prepare as library

    if output.suffix != ".bin":
        msg = f"--output must end in .bin, by which pyane train knows token files, got {output}"
        raise ConfigError(msg)
    start = time.perf_counter()
    with _terminable(), _progress() as on_progress:
        result = library.prepare(
            texts, tokenizer, output, jobs=jobs or os.cpu_count() or 1, on_progress=on_progress
        )
    seconds = time.perf_counter() - start
    typer.echo(
        f"{result.path}: {result.n_tokens:,} tokens ({result.dtype}) of {result.n_documents:,} "
        f"documents, {result.n_bytes:,} bytes of text, vocabulary {result.vocab_size}, in {seconds:.1f} s"
    )


def download(
    name: Annotated[str, typer.Argument(metavar="CORPUS", help="tinystories")],
    part: Annotated[str, typer.Option(help="train (2.2 GB) or valid (22 MB).")] = "valid",
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where it goes.")
    ] = Path("data"),
    revision: Annotated[
        str, typer.Option(help="Branch, tag or commit of the repository.")
    ] = "main",
) -> None:
    """Download a published corpus and check its size and hash.

    From the Hugging Face Hub; needs pip install 'pyane[huggingface]'. An interrupted download goes on where it stopped. HF_ENDPOINT names another server.

    \b
    Examples:
      pyane data download tinystories --part train
    """  # noqa: D301  (\b keeps the lines of the example apart)
    from ..train.download import CORPORA
    from ..train.download import download as fetch

    path = fetch(name, part, folder, revision=revision)
    corpus = CORPORA[name]
    typer.echo(
        f"{path}: {path.stat().st_size:,} bytes, {corpus.repository}, licence {corpus.licence}"
    )


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the command as an exception does: temporary files are removed."""

    def end(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, a line at every tenth elsewhere."""
    if not sys.stdout.isatty():
        tenths = [0]

        def on_lines(done: int, total: int) -> None:
            tenth = 10 * done // total
            if tenths[0] < tenth < 10:
                typer.echo(f"{10 * tenth} %")
            tenths[0] = max(tenths[0], tenth)

        yield on_lines
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    with Progress(BarColumn(), TaskProgressColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task("prepare", total=None)

        def on_bar(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield on_bar
