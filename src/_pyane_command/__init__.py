"""Entry point of the `pyane` script: quiet when interrupted while the package is still loading.

A package of its own, because importing anything of `pyane` first loads NumPy and the native core: a
third of a second in which Ctrl-C would end in a traceback.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn

_INTERRUPTED = 130


def main() -> int:
    """Run the command line; returns the exit code."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not where it is ignored, as under nohup
        signal.signal(signal.SIGINT, _leave)
    from pyane.cli import main as command  # noqa: PLC0415

    signal.signal(signal.SIGINT, before)
    return command()


def _leave(*_: object) -> NoReturn:
    # Nothing has been begun that would have to be tidied up.
    os.write(2, b"pyane: interrupted\n")
    os._exit(_INTERRUPTED)
