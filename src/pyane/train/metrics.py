"""metrics.jsonl and timing.jsonl: one JSON object per step.

metrics.jsonl holds what is computed, so that the same seed gives the same file; what is measured
(wall-clock times) goes to timing.jsonl.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path
from typing import Any, TextIO

from ..errors import CheckpointError


class JsonLines:
    """A file that grows by one JSON object per line. Every object has a "step".

    Args:
        path: The file; created when missing.
        keep_steps: Lines of later steps, and torn ones, are dropped: they belong to work that was
            lost when a run was killed and is now done again.

    Raises:
        CheckpointError: The file could not be read or written.
    """

    def __init__(self, path: Path, keep_steps: int) -> None:
        self._path = path
        with self._reporting():
            _truncate(path, keep_steps)
            self._file: TextIO = path.open("a", encoding="utf-8")

    def write(self, record: dict[str, Any]) -> None:
        """Append a record; numbers that are not finite become null."""
        line = json.dumps({k: _finite(v) for k, v in record.items()}, allow_nan=False)
        with self._reporting():
            self._file.write(line + "\n")

    def sync(self) -> None:
        """Put what was written on the disk."""
        with self._reporting():
            self._file.flush()
            os.fsync(self._file.fileno())

    def flush(self) -> None:
        """Show what was written to other processes."""
        with self._reporting():
            self._file.flush()

    def close(self) -> None:
        """Close the file. Never fails: what matters was synced before."""
        with contextlib.suppress(OSError):
            self._file.close()

    @contextlib.contextmanager
    def _reporting(self) -> Any:
        try:
            yield
        except OSError as e:
            msg = f"{self._path}: could not be written ({e.strerror or e})"
            raise CheckpointError(msg) from e


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All whole records of a file that `JsonLines` wrote."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict):
                records.append(record)
    return records


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _truncate(path: Path, keep_steps: int) -> None:
    if not path.exists():
        return
    kept = 0
    with path.open("rb") as file:
        for line in file:
            try:
                step = json.loads(line)["step"]
            except (ValueError, KeyError, TypeError):
                break
            if not line.endswith(b"\n") or step > keep_steps:
                break
            kept += len(line)
    os.truncate(path, kept)
