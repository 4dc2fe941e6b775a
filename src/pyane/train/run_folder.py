"""The folder of a training run: names, creation, and the lock that keeps a second trainer out."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

from ..atomic_file import atomic_write
from ..errors import CheckpointError, ConfigError

TOKENIZERS = ("tokenizer.model", "tokenizer.bin", "tokenizer.json")
"""Names of a tokenizer in a run folder."""

_LOCK = "lock"
_INHERITED_LOCK = "PYANE_RUN_LOCK"  # environment variable: a descriptor
_STATE, _LOSS_PLOT = "state.bin", "loss.png"
_EARLY_FILES = (  # what is there before the first state
    _LOCK,
    "config.json",
    "vocabulary.json",
    "metrics.jsonl",
    "timing.jsonl",
    "model.bin",
    "model.safetensors",
    *TOKENIZERS,
)


class RunFolder:
    """A run's files. Locked from `create` or `open` until `close` or the end of the process.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self._lock_fd = lock_fd

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make a new run folder, or take an empty one.

        Raises:
            ConfigError: It holds files already, or is a file.
            CheckpointError: It cannot be made.
        """
        check_new(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            msg = (
                f"{path}: run folder cannot be made ({e.strerror or e}); choose one with --run-dir"
            )
            raise CheckpointError(msg) from e
        return cls(path, _lock(path))

    @classmethod
    def create_next(cls, parent: Path, name: str) -> RunFolder:
        """Make `parent/name-1`, or the next number that is free.

        Raises:
            CheckpointError: It cannot be made.
        """
        n = 1
        try:
            parent.mkdir(parents=True, exist_ok=True)
            numbers = [p.name.removeprefix(f"{name}-") for p in parent.glob(f"{name}-*")]
            n += max((int(i) for i in numbers if i.isdecimal()), default=0)
            while True:
                path = parent / f"{name}-{n}"
                try:
                    path.mkdir()
                except FileExistsError:
                    n += 1  # another trainer was faster
                    continue
                return cls(path, _lock(path))
        except OSError as e:
            msg = f"{parent}: run folder cannot be made ({e.strerror or e}); choose one with --run-dir"
            raise CheckpointError(msg) from e

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Take an existing run folder.

        Raises:
            CheckpointError: It is missing, is no run folder, or another trainer works in it.
        """
        if not path.is_dir():
            msg = f"{path}: run folder does not exist"
            raise CheckpointError(msg)
        if not (path / "config.json").is_file():
            msg = f"{path}: not a run folder: no config.json in it"
            raise CheckpointError(msg)
        run = cls(path, _lock(path))
        run._remove_leftovers()
        return run

    @property
    def config(self) -> Path:
        """Resolved settings, JSON."""
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        """Loss and so on, one JSON object per step."""
        return self.path / "metrics.jsonl"

    @property
    def timing(self) -> Path:
        """Times, one JSON object per step."""
        return self.path / "timing.jsonl"

    @property
    def state(self) -> Path:
        """Training state to resume from."""
        return self.path / _STATE

    @property
    def model(self) -> Path:
        """Weights in llama2.c's format, or model.safetensors where that cannot hold the model."""
        return self._weights("model")

    @property
    def best(self) -> Path:
        """Weights with the lowest held-out loss, of the same kind."""
        return self._weights("best")

    def _weights(self, name: str) -> Path:
        other = self.path / f"{name}.safetensors"
        return other if other.is_file() else self.path / f"{name}.bin"

    @property
    def loss_plot(self) -> Path:
        """Loss over steps as a picture."""
        return self.path / _LOSS_PLOT

    def write_config(self, config: dict[str, Any]) -> None:
        """Write config.json.

        Raises:
            CheckpointError: It could not be written.
        """
        _write_json(self.config, json.dumps(config, indent=2))

    def _remove_leftovers(self) -> None:
        """What `atomic_write` was writing when a trainer was killed. Ours alone: we hold the lock."""
        for path in self.path.glob(".*.tmp"):
            with contextlib.suppress(OSError):
                path.unlink()

    def bequeath_lock(self) -> None:
        """Keep the folder locked across the `exec` that replaces this process by another trainer."""
        os.set_inheritable(self._lock_fd, True)
        os.environ[_INHERITED_LOCK] = str(self._lock_fd)

    def discard(self) -> None:
        """Remove the folder with the files that a run puts there before it saves its first state.

        Nothing else is touched, and nothing fails: it is called where something failed already.
        """
        with contextlib.suppress(OSError):
            for name in _EARLY_FILES:
                (self.path / name).unlink(missing_ok=True)
            shutil.rmtree(self.path / "tensorboard", ignore_errors=True)
            self.path.rmdir()

    def close(self) -> None:
        """Let other trainers in. Idempotent."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def check_new(path: Path) -> None:
    """Make sure that a run in this folder would overwrite nothing.

    Raises:
        ConfigError: It holds files already, or is a file.
        CheckpointError: It cannot be read.
    """
    if not path.exists():
        return
    if not path.is_dir():
        msg = f"--run-dir {path}: must be a folder, got a file"
        raise ConfigError(msg)
    try:
        taken = any(path.iterdir())
    except OSError as e:
        msg = f"{path}: run folder cannot be read ({e.strerror or e})"
        raise CheckpointError(msg) from e
    if taken:
        msg = (
            f"--run-dir {path}: must be new or empty, so that no run is overwritten. "
            f"To go on with the run in it: pyane train --resume {path}"
        )
        raise ConfigError(msg)


def _write_json(path: Path, text: str) -> None:
    try:
        with atomic_write(path) as file:
            file.write(text.encode() + b"\n")
    except OSError as e:
        msg = f"{path}: could not be written ({e.strerror or e})"
        raise CheckpointError(msg) from e


def find_tokenizer(folder: Path) -> Path | None:
    """The tokenizer kept in a folder, if there is one."""
    for name in TOKENIZERS:
        if (folder / name).is_file():
            return folder / name
    return None


def is_drawn(path: Path) -> bool:
    """Whether a run's loss curve has been drawn since its state was saved last."""
    try:
        state, picture = ((path / name).stat().st_mtime_ns for name in (_STATE, _LOSS_PLOT))
    except OSError:
        return False
    return picture >= state


def inherited_lock(path: Path) -> int | None:
    """Descriptor of the folder's lock when the process before this one left it; see `bequeath_lock`."""
    value = os.environ.get(_INHERITED_LOCK, "")
    if not value.isdecimal():
        return None
    try:
        ours, file = os.fstat(int(value)), (path / _LOCK).stat()
    except (OSError, OverflowError):
        return None
    return int(value) if os.path.samestat(ours, file) else None


def _lock(path: Path) -> int:
    inherited = inherited_lock(path)
    if inherited is not None:
        del os.environ[_INHERITED_LOCK]
        os.set_inheritable(inherited, False)
        return inherited
    # An flock dies with its process, whatever kills it: no stale locks to clean up.
    try:
        fd = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as e:
        msg = f"{path}: run folder cannot be written to ({e.strerror or e})"
        raise CheckpointError(msg) from e
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        os.close(fd)
        msg = f"{path}: another trainer is working in this run folder"
        if not isinstance(e, BlockingIOError):  # a file system without locks
            msg = f"{path}: run folder cannot be locked ({e.strerror or e})"
        raise CheckpointError(msg) from e
    return fd
