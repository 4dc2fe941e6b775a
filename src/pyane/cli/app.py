"""The command line as a whole: commands, exit codes, and errors as one line.

Exit codes: 0 success, 1 error, 2 wrong usage, 130 interrupted by Ctrl-C, 143 by SIGTERM. A reader that has
gone (head, less) is no error: 0, or what the command found (check, compare, doctor).
"""

from __future__ import annotations

import functools
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ConfigError, Error
from . import (
    bench,
    check,
    chips,
    compare,
    convert,
    data,
    doctor,
    generate,
    info,
    plot,
    predict,
    profile,
    report,
    run,
    show,
    train,
)
from .closed_pipe import has_gone

_USAGE = 2
_INTERRUPTED = 130

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


class _Interrupted(Exception):
    """Ctrl-C in a command. Versions of typer differ in what they make of KeyboardInterrupt."""


# Whether a command has been entered: before, Ctrl-C makes some versions of typer exit with 130 and
# without a word; after, that code is the command's own.
_begun: ContextVar[bool] = ContextVar("_begun", default=False)


def _add(command: Callable[..., None], to: typer.Typer = app) -> None:
    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> None:
        _begun.set(True)
        try:
            command(*args, **options)
        except KeyboardInterrupt:
            raise _Interrupted from None

    to.command()(run)


for _command in (
    train.train,
    generate.generate,
    plot.plot,
    report.report,
    convert.convert,
    show.show,
    run.run,
    profile.profile,
    check.check,
    predict.predict,
    chips.chips,
    info.info,
    doctor.doctor,
    bench.bench,
    compare.compare,
):
    _add(_command)


_data = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
_add(data.prepare, _data)
_add(data.download, _data)
app.add_typer(_data, name="data", help="Corpora, and texts to token files.")


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"pyane {__version__}")
        raise typer.Exit


@app.callback()
def _pyane(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback with errors. Anywhere in the command.")
    ] = False,
) -> None:
    """Program Apple's Neural Engine in MIL, or the same programs on a CPU emulator.

    \b
    Begin with:
      pyane train                     train a small Llama 2 on built-in stories, in about a minute
      pyane generate runs/...         let it tell a story
      pyane plot runs/*               compare loss curves
      pyane show model.mlpackage      what is in a model; pyane run evaluates it
      pyane check model.mlpackage     what the chips would make of it
      pyane predict model.mlpackage   how long they would take
      pyane info                      what this machine offers
      pyane doctor                    try its device, program by program
      pyane bench all --quick         measure it
      pyane report --community        what the community measured on engines
    """  # noqa: D301  (\b keeps the lines of the example apart)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: Arguments after the program's name; None: those of the process.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    _replace_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without emoji is no error
    debug = "--debug" in arguments
    # People add it to the end of what has just failed.
    arguments = [a for a in arguments if a != "--debug"]
    _begun.set(False)
    try:
        code: int = app(arguments or ["--help"], prog_name="pyane", standalone_mode=False) or 0
        if code == _INTERRUPTED and not _begun.get():
            return _fail("interrupted", _INTERRUPTED, debug)
        return code
    except (_Interrupted, KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", _INTERRUPTED, debug)
    except (BrokenPipeError, SystemExit) as e:
        if not has_gone(e):
            raise
        sys.stdout = None  # nothing may be written at exit either
        return 0
    except Error as e:
        return _fail(f"error: {e}", _USAGE if isinstance(e, ConfigError) else 1, debug)
    except OSError as e:
        return _fail(f"error: {e}", 1, debug)
    except MemoryError:
        return _fail("error: out of memory (when training, try a smaller --batch-size)", 1, debug)
    except Exception as e:  # noqa: BLE001
        if hasattr(e, "format_message"):
            return _usage(e, debug)
        what = f"internal error: {type(e).__name__}: {e} (a bug: please report it with --debug)"
        return _fail(what, 1, debug)


def _replace_closed_streams() -> None:
    """Output that the caller has closed (`>&-`) goes nowhere; Python leaves None in its place.

    Descriptors 0 to 2 are taken, so that no file opened later gets what others take for a stream.
    """
    if sys.__stdin__ is None or sys.__stdout__ is None or sys.__stderr__ is None:
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115


def _usage(error: Exception, debug: bool) -> int:
    """A wrong option or argument. Click's class is vendored by newer versions of typer."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "pyane"
    message = error.format_message().rstrip(".")  # type: ignore[attr-defined]
    code = int(getattr(error, "exit_code", _USAGE))
    return _fail(f"error: {message} (see {command} --help)", code, debug)


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    typer.echo("pyane: " + " ".join(message.split()), err=True)
    return code
