"""What the command lines here share: threads, files for results, Ctrl-C and a reader that goes away."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pyane._core import base
from pyane.atomic_file import atomic_write
from pyane.cli.output_file import check_output
from pyane.errors import ConfigError

INTERRUPTED = 130
USUAL_THREADS = (1, 2, 4)


def numbers(text: str) -> tuple[int, ...]:
    """Of threads, as in "1,2,4"."""
    try:
        found = tuple(int(n) for n in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        msg = f"must be numbers from 1 on, such as 1,2,4, got '{text}'"
        raise argparse.ArgumentTypeError(msg)
    return found


def add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=numbers,
        metavar="N,N,...",
        help="numbers of threads [1,2,4, as far as there are cores]",
    )


def usable_threads(
    parser: argparse.ArgumentParser, asked: tuple[int, ...] | None
) -> tuple[int, ...]:
    """Those for which there are cores; which are left out is said. Refuses when none is left."""
    cores = base.usable_cores()
    wanted = asked or USUAL_THREADS
    usable = tuple(n for n in wanted if n <= cores)
    if not usable:
        parser.error(f"--threads: only {count(cores, 'core')} may be used, got {listed(wanted)}")
    if usable != wanted:
        left_out = listed(n for n in wanted if n > cores)
        told = f"Only {count(cores, 'core')} may be used: not measured on {left_out} threads"
        print(told, file=sys.stderr)
    return usable


def count(n: int, thing: str) -> str:
    return f"{n} {thing}{'s' * (n != 1)}"


def listed(values: Any) -> str:
    return ", ".join(map(str, values))


def check_file(parser: argparse.ArgumentParser, flag: str, path: Path | None) -> None:
    """Refuses, before anything is measured, a file that could not be written afterwards."""
    try:
        if path is not None:
            check_output(flag, path)
    except ConfigError as e:
        parser.error(str(e))


def write_json(path: Path, content: Any) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=1).encode() + b"\n")


_interrupts: list[int] = []


def _interrupt(number: int, _: object) -> NoReturn:
    _interrupts.append(number)
    raise KeyboardInterrupt


def _unless_interrupt(told: Any) -> None:
    """Python's word for an exception that it ignores; an interrupt is heard soon, see below."""
    if told.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(told)


def check_interrupted() -> None:
    """Raises KeyboardInterrupt again: Python ignores one that comes in a weak reference's callback."""
    if _interrupts:
        raise KeyboardInterrupt


def run(main: Callable[[], object]) -> NoReturn:
    """Ends the process with 0, or 130 after Ctrl-C; a reader that has gone (head) is no error."""
    sys.unraisablehook = _unless_interrupt
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not under nohup
        signal.signal(signal.SIGINT, _interrupt)
    try:
        main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stdout = None  # type: ignore[assignment] # nothing may be written at exit either
    sys.exit(0)
