"""Files of a model that may be hostile: nothing outside its folder, regular files only, mapped.

A model names its weight files itself. The names are data of whoever made the model, so they are
taken relative to the model's folder, and neither `..` nor a symbolic link may lead out of it.
"""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..errors import ModelError

if TYPE_CHECKING:
    from typing_extensions import Buffer

MODEL_PATH = "@model_path"
# The parser's own limit (cpp/pyane/mil/limits.h); nothing larger is worth reading into memory.
MAX_TEXT_BYTES = 1 << 30


def relative_path(name: str, owner: str) -> PurePosixPath:
    """The place that a path in MIL text names, relative to the model's folder.

    Args:
        name: As in the text, e.g. "@model_path/weights/weight.bin" or "weights.bin".
        owner: For messages: the file that the name stands in.

    Raises:
        ModelError: The name is empty, absolute, or climbs with `..`.
    """
    path = name
    if name == MODEL_PATH or name.startswith(MODEL_PATH + "/"):
        path = name[len(MODEL_PATH) + 1 :]
    parts = PurePosixPath(path).parts
    problem = ""
    if not parts:
        problem = "must name a file"
    elif "\0" in path:
        problem = "must not hold a zero byte"
    elif path.startswith("/"):
        problem = "must be relative to the model's folder, not absolute"
    elif ".." in parts:
        problem = "must stay inside the model's folder, not climb with '..'"
    if problem:
        msg = f"{owner}: path of a weight file {problem}, got {name!r}"
        raise ModelError(msg)
    return PurePosixPath(*parts)


def resolve(root: Path, relative: PurePosixPath, *, allow_links: bool) -> Path:
    """The real path of a file inside a folder.

    Raises:
        FileNotFoundError: There is no such file.
        ModelError: A symbolic link leads out of the folder and `allow_links` is False.
    """
    real_root = Path(os.path.realpath(root))
    try:
        real = Path(os.path.realpath(root / relative, strict=True))
    except FileNotFoundError:
        raise
    except OSError as e:  # A loop of links, or a file where a folder should be.
        msg = f"{root / relative}: cannot be followed: {e.strerror or e}"
        raise ModelError(msg) from None
    if not allow_links and not real.is_relative_to(real_root):
        msg = (
            f"{root / relative}: a symbolic link leads out of the model's folder, to {real}; "
            "if it is meant to (as in the cache of a model hub), pass allow_links=True "
            "(--allow-links)"
        )
        raise ModelError(msg)
    return real


def _open_regular(path: Path) -> tuple[int, int]:
    """Descriptor and size of a regular file. A pipe or device is refused without being read."""
    # O_NONBLOCK: opening a pipe that nobody writes to must not wait for ever.
    flags = os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
        msg = f"{path}: must be a regular file, got {kind}"
        raise ModelError(msg)
    return descriptor, status.st_size


def map_file(path: Path) -> Buffer:
    """A file's bytes, mapped read-only; what nobody touches is never read from the disk.

    The file must not be shortened while it is in use: the system ends a program that reads a
    mapping beyond the end of its file.

    Raises:
        ModelError: Not a regular file.
        OSError: It cannot be opened.
    """
    descriptor, size = _open_regular(path)
    try:
        # Nothing cannot be mapped.
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) if size else b""
    finally:
        os.close(descriptor)


def read_file(path: Path, limit: int = MAX_TEXT_BYTES) -> bytes:
    """A file's bytes.

    Raises:
        ModelError: Not a regular file, or larger than `limit` bytes.
        OSError: It cannot be opened.
    """
    descriptor, size = _open_regular(path)
    with os.fdopen(descriptor, "rb") as file:
        if size > limit:
            msg = f"{path}: must have at most {limit} bytes, got {size}"
            raise ModelError(msg)
        # The size may be a lie (/proc, a file that grows): never take more than the limit.
        return file.read(limit)
