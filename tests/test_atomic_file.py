from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pyane.atomic_file import atomic_write, check_writable


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


def test_a_full_device_says_so(full_device: str) -> None:
    def write() -> None:
        with atomic_write(full_device) as file:
            file.write(b"x" * 100_000)

    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write()
    assert Path(full_device).is_char_device()


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    """Not the temporary one, of which the caller knows nothing."""

    def write(path: Path) -> None:
        with atomic_write(path):
            pass

    missing = tmp_path / "nowhere" / "file"
    for function in (write, check_writable):
        with pytest.raises(FileNotFoundError) as found:
            function(missing)
        assert (found.value.filename, found.value.filename2) == (str(missing), None)
        with pytest.raises(IsADirectoryError) as found:
            function(tmp_path)
        assert (found.value.filename, found.value.filename2) == (str(tmp_path), None)
    assert list(tmp_path.iterdir()) == []


def test_errors_about_other_files_stay(tmp_path: Path) -> None:
    def copy() -> None:
        with atomic_write(tmp_path / "file") as file:
            file.write((tmp_path / "missing").read_bytes())

    with pytest.raises(FileNotFoundError) as found:
        copy()
    assert found.value.filename == str(tmp_path / "missing")


def test_check_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    check_writable(tmp_path / "file")
    check_writable(tmp_path / "new")
    check_writable(os.devnull)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
    assert (tmp_path / "file").read_bytes() == b"old"
