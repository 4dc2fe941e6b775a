"""Files that are written at the end of minutes of work: whether they can be, and where until then.

Known before the work begins; and never a file that the command reads.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..atomic_file import check_writable
from ..errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..model import Model


def check_output(flag: str, path: Path) -> None:
    """Refuse now what could not be written when the work is done. A device or a pipe will do.

    Raises:
        ConfigError: A folder, or nothing can be written there.
    """
    try:
        if path.is_dir() or not path.resolve().parent.is_dir():
            msg = f"{flag} {path}: must be a file in a folder that exists"
            raise ConfigError(msg)
        check_writable(path)
    except OSError as e:
        msg = f"{flag} {path}: cannot be written there ({e.strerror or e})"
        raise ConfigError(msg) from e


def check_not_read(flag: str, path: Path, files: Iterable[Path]) -> None:
    """Refuse what would destroy a file that the command reads, by whatever name or link.

    Raises:
        ConfigError: `path` is one of `files`, or lies in one that is a folder.
    """
    real = path.resolve()
    for file in files:
        if file.is_dir() and real.is_relative_to(file.resolve()):
            msg = f"{flag} {path}: must not lie in the model {file}"
            raise ConfigError(msg)
        for one in _files(file):
            if _is_same(path, one):
                msg = f"{flag} {path}: must not be a file that is read, got {one}"
                raise ConfigError(msg)


def files_read(
    model: str, loaded: Model, weights: Sequence[str], inputs: Sequence[str]
) -> Iterator[Path]:
    """Files, and folders with files, that the options of a command name, and the model itself."""
    from ..model.files import relative_path
    from .model_options import parse_pair, weight_file

    names = loaded.program.weight_paths
    if model != "-":
        place = Path(model)
        yield place
        if place.is_file():
            for name in names:
                yield place.parent / relative_path(name, model)
    for option in weights:
        yield Path(weight_file(option, names)[1])
    for option in inputs:
        yield parse_pair("--input", option)[1]


def unfinished(path: Path) -> Path:
    """Where results go until all are there: a file that exists is replaced by a whole one only."""
    if not path.is_file():
        return path
    return path.with_name(f"{path.stem}.unfinished{path.suffix}")


def _files(place: Path) -> Iterator[Path]:
    if not place.is_dir():
        yield place
        return
    for folder, _, names in os.walk(place):
        yield from (Path(folder, name) for name in names)


def _is_same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:  # One of them does not exist.
        return False
