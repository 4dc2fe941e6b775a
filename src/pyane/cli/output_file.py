"""Files that are written at the end of minutes of work: whether they can be, and where until then."""

from __future__ import annotations

from pathlib import Path

from ..atomic_file import check_writable
from ..errors import ConfigError


def check_output(flag: str, path: Path) -> None:
    """Refuse now what could not be written when the work is done. A device or a pipe will do.

    Raises:
        ConfigError: A folder, or nothing can be written there.
    """
    try:
        if path.is_dir() or not path.resolve().parent.is_dir():
            msg = f"{flag} {path}: must be a file in a folder that exists"
            raise ConfigError(msg)
        if path.is_file() or not path.exists():  # neither a device nor a pipe
            check_writable(path)
    except OSError as e:
        msg = f"{flag} {path}: cannot be written there ({e.strerror or e})"
        raise ConfigError(msg) from e


def unfinished(path: Path) -> Path:
    """Where results go until all are there: a file that exists is replaced by a whole one only."""
    if not path.is_file():
        return path
    return path.with_name(f"{path.stem}.unfinished{path.suffix}")
