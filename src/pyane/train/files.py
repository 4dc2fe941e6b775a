"""Reading input files with errors that say what is wrong with them."""

from __future__ import annotations

import stat
from pathlib import Path

from ..errors import DataError


def check_readable(path: Path, what: str) -> int:
    """Size in bytes of a regular file.

    Raises:
        DataError: Missing, a folder, not a regular file, or unreadable.
    """
    try:
        info = path.stat()
    except FileNotFoundError as e:
        msg = f"{path}: {what} does not exist"
        raise DataError(msg) from e
    except OSError as e:
        msg = f"{path}: {what} cannot be read ({e.strerror})"
        raise DataError(msg) from e
    if stat.S_ISDIR(info.st_mode):
        msg = f"{path}: {what} must be a file, got a folder"
        raise DataError(msg)
    if not stat.S_ISREG(info.st_mode):
        msg = f"{path}: {what} must be a regular file"
        raise DataError(msg)
    return info.st_size


def read_bytes(path: Path, what: str, max_bytes: int) -> bytes:
    """Contents of a file.

    Raises:
        DataError: As `check_readable`, or larger than `max_bytes`.
    """
    size = check_readable(path, what)
    if size > max_bytes:
        msg = f"{path}: {what} must have at most {max_bytes} bytes, got {size}"
        raise DataError(msg)
    try:
        return path.read_bytes()
    except OSError as e:
        msg = f"{path}: {what} cannot be read ({e.strerror})"
        raise DataError(msg) from e
