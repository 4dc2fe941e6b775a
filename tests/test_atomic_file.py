from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pyane.atomic_file import atomic_write


def test_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_bytes() == b"old"
    with atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"data")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"data"


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    """As are devices: whoever may would otherwise make a file of /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with atomic_write(pipe) as file:
        file.write(b"head")
        file.seek(0)
        file.write(b"data")
    reader.join(timeout=30)
    assert read == [b"data"]
    assert pipe.is_fifo()


def test_a_full_device_says_so() -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("there is no /dev/full here")

    def write() -> None:
        with atomic_write("/dev/full") as file:
            file.write(b"x" * 100_000)

    with pytest.raises(OSError, match="No space left"):
        write()
    assert Path("/dev/full").is_char_device()
