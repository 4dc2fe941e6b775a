"""Files that are replaced whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

# What writing to an open file may end in: such errors name no file.
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a file that takes the place of `path` when the block ends without an exception.

    The data go to a temporary file in the same directory, which is synced to the disk and then
    renamed. Whatever happens, and whenever, `path` holds the old content or the new. A symbolic
    link is followed: its target is replaced. After an exception the temporary file is gone; after
    a kill it may stay (`.<name>.<random>.tmp`).

    A device or a pipe (/dev/null, /dev/stdout) is written to at the end, not replaced.

    Raises:
        OSError: As `open`, `write`, `fsync` and `rename` do; it names `path`.
    """
    target = Path(path).resolve()
    if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():
        # Replacing would make a file of /dev/null, if one may.
        buffer = io.BytesIO()
        yield buffer
        try:
            with Path(path).open("wb") as stream:
                stream.write(buffer.getvalue())
        except OSError as e:
            raise _named(e, path) from None
        return
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        # "x": never into somebody else's file. Mode bits follow the umask, as for any new file.
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as e:
        with suppress(OSError):
            temporary.unlink()
        # Other errors of the block are about other files.
        if isinstance(e, OSError) and (
            e.filename == os.fspath(temporary) or (e.filename is None and e.errno in _FULL)
        ):
            raise _named(e, path) from None
        raise
    # The rename itself lives in the directory.
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Try whether `atomic_write` could write there; leaves nothing behind.

    Raises:
        OSError: It could not; names `path`.
    """
    place = Path(path)
    if place.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if place.exists() and not place.is_file():  # A device or a pipe, which is not replaced.
        if not os.access(place, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return
    target = place.resolve()
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        temporary.open("xb").close()
        temporary.unlink()
    except OSError as e:
        raise _named(e, path) from None


def _named(error: OSError, path: str | os.PathLike[str]) -> OSError:
    """The error with the name that the caller knows, not that of a temporary file."""
    return OSError(error.errno, error.strerror, os.fspath(path))
