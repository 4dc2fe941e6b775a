"""A reader that has gone (head, less): no error, and no change of what a command found."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


def has_gone(error: BaseException) -> bool:
    """Whether an exception means that nobody reads any more. Rich makes an exit of it."""
    if isinstance(error, SystemExit):
        error = error.__context__ or error
    return isinstance(error, BrokenPipeError)


def silence() -> None:
    """Let all further output go nowhere."""
    # The file stays open as long as the process.
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115


@contextlib.contextmanager
def whether_read_or_not() -> Iterator[None]:
    """What is inside tells what is found already: the exit code that follows is the same unread."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as e:
        if not has_gone(e):
            raise
        silence()
