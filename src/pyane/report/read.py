"""Results as people hand them in: files of `pyane bench`, outputs of maderix/ANE's trainer, folders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..bench import Result

SUFFIXES: Final = (".json", ".jsonl", ".log", ".txt")
"""Of files that are read in folders."""


def read_results(paths: Iterable[str | os.PathLike[str]]) -> list[Result]:
    """Read results in the order of their paths; a file that is named twice counts once.

    Args:
        paths: Files, or folders, read with all below them.

    Raises:
        ConfigError: A file is no result, damaged, or of a newer version; a folder holds none.
            Names the file.
        OSError: A file cannot be read.
    """
    # Not Path.resolve: of links that lead in circles it says RuntimeError, open says what is wrong.
    files = dict.fromkeys(
        Path(os.path.realpath(file)) for path in paths for file in _files(Path(path))
    )
    return [_read(file) for file in files]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        msg = f"{path}: must hold results ({', '.join(SUFFIXES)}), got none"
        raise ConfigError(msg)
    return found


def _read(path: Path) -> Result:
    from ..bench import result, upstream  # noqa: PLC0415 -- not needed by `--community`

    shown = _shown(path)
    if path.suffix.lower() != ".json" and not _is_ours(shown):
        return upstream.load(shown)
    try:
        return result.load(shown)
    except ConfigError as e:
        try:  # JSON lines may be in a .json file, too
            return upstream.load(shown)
        except ConfigError:
            raise e from None


def _is_ours(path: Path) -> bool:
    """Whatever its name: pyane bench writes to the one that it is given."""
    from ..bench.result import SCHEMA_NAME  # noqa: PLC0415 -- not needed by `--community`

    with path.open("rb") as file:
        start = file.read(4096)
    return start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and SCHEMA_NAME.encode() in start


def _shown(path: Path) -> Path:
    """As a person would name it in a message."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
