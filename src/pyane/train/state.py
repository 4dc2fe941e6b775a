"""Training state: everything a run needs to go on as if it had never stopped.

File, little-endian:

    0    8 bytes    "PYANEST2"
    8    uint64     bytes in the header, H
    16   H bytes    JSON: "meta", and "arrays": [[name, number of fp32 elements], ...]
    ...  fp32 ...   the arrays, in that order
    end  32 bytes   SHA-256 of all before it

It is replaced whole or not at all, and read only when the checksum agrees.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ..atomic_file import atomic_write
from ..errors import CheckpointError

_MAGIC = b"PYANEST2"
_PREFIX = struct.Struct("<8sQ")
_DIGEST_BYTES = 32
_MAX_HEADER_BYTES = 1 << 24
_CHUNK_BYTES = 1 << 24

Float32Array = npt.NDArray[np.float32]


@dataclasses.dataclass
class TrainingState:
    """State between two steps.

    Attributes:
        parameters: [n] fp32 weights.
        m: [n] fp32 first moments.
        v: [n] fp32 second moments.
        step: Steps done; the next one has this index. Decides learning rate and data.
        skipped: Steps among them that changed nothing because gradients overflowed.
        loss_scale: Loss scale of the next step.
        good_steps: Steps since the loss scale changed.
        data_hash: Of the tokens trained on.
        config: `TrainConfig.to_dict()`.
        model: Sizes of the model.
        best_loss: Lowest held-out loss so far; None before the first.
        best_step: Step after which it was measured.
        evaluations_since_best: Evaluations after that one.
        pending: What is known of step `step` when it could not be finished: its weights are
            updated, but not yet evaluated and logged; else None.
        unused_rows: [n] fp32, table rows of the tokens that a compacted vocabulary left out.
    """

    parameters: Float32Array
    m: Float32Array
    v: Float32Array
    step: int
    skipped: int
    loss_scale: float
    good_steps: int
    data_hash: str
    config: dict[str, Any]
    model: dict[str, Any]
    best_loss: float | None = None
    best_step: int = 0
    evaluations_since_best: int = 0
    pending: dict[str, Any] | None = None
    unused_rows: Float32Array = dataclasses.field(default_factory=lambda: np.empty(0, np.float32))


_ARRAYS = ("parameters", "m", "v", "unused_rows")
_META: dict[str, Callable[[Any], Any]] = {
    "step": int,
    "skipped": int,
    "loss_scale": float,
    "good_steps": int,
    "data_hash": str,
    "config": dict,
    "model": dict,
    "best_loss": lambda loss: None if loss is None else float(loss),
    "best_step": int,
    "evaluations_since_best": int,
    "pending": lambda pending: None if pending is None else dict(pending),
}


def save_state(path: Path, state: TrainingState) -> None:
    """Write a training state, replacing the old one only when the new one is complete and synced.

    Raises:
        CheckpointError: It could not be written (disk full, no permission); the old file is whole.
    """
    arrays = [np.ascontiguousarray(getattr(state, name), dtype="<f4") for name in _ARRAYS]
    header = json.dumps(
        {
            "meta": {name: getattr(state, name) for name in _META},
            "arrays": [[name, a.size] for name, a in zip(_ARRAYS, arrays, strict=True)],
        },
    ).encode()
    digest = hashlib.sha256()
    try:
        with atomic_write(path) as file:
            parts = [memoryview(_PREFIX.pack(_MAGIC, len(header)) + header)]
            parts += [a.data for a in arrays]
            for part in parts:
                digest.update(part)
                file.write(part)
            file.write(digest.digest())
    except OSError as e:
        msg = f"{path}: training state could not be saved ({e.strerror or e}); "
        msg += "the one saved before is kept" if path.exists() else "nothing was kept"
        raise CheckpointError(msg) from e


def load_state(path: Path) -> TrainingState:
    """Read a training state.

    Raises:
        CheckpointError: Missing, unreadable, truncated, altered, or not a training state.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except FileNotFoundError as e:
        msg = f"{path}: no training state here; --resume needs a run folder that `pyane train` made"
        raise CheckpointError(msg) from e
    except OSError as e:
        msg = f"{path}: training state cannot be read ({e.strerror or e})"
        raise CheckpointError(msg) from e


def _read(path: Path, file: BinaryIO) -> TrainingState:
    n_bytes = os.fstat(file.fileno()).st_size
    digest = hashlib.sha256()

    def take(n: int) -> bytes:
        data = file.read(n)
        if len(data) != n:
            msg = f"{path}: training state is truncated: {n_bytes} bytes"
            raise CheckpointError(msg)
        digest.update(data)
        return data

    magic, n_header = _PREFIX.unpack(take(_PREFIX.size))
    if magic != _MAGIC:
        msg = f"{path}: not a training state: it must begin with {_MAGIC!r}, got {magic!r}"
        raise CheckpointError(msg)
    if n_header > min(_MAX_HEADER_BYTES, n_bytes):
        msg = f"{path}: training state is corrupt: header of {n_header} bytes in {n_bytes}"
        raise CheckpointError(msg)
    header = take(n_header)
    meta, sizes = _parse_header(path, header)
    # The sizes in the header are believed only as far as the file's length bears them out.
    n_floats = n_bytes - _PREFIX.size - n_header - _DIGEST_BYTES
    if n_floats != 4 * sum(sizes.values()):
        msg = (
            f"{path}: training state is truncated or corrupt: {n_bytes} bytes for arrays of {sizes}"
        )
        raise CheckpointError(msg)
    arrays = {name: np.empty(n, "<f4") for name, n in sizes.items()}
    for array in arrays.values():
        view = array.data.cast("B") if array.size else memoryview(b"")
        for start in range(0, len(view), _CHUNK_BYTES):
            part = view[start : start + _CHUNK_BYTES]
            part[:] = take(len(part))
    expected = digest.digest()
    if file.read(_DIGEST_BYTES) != expected:
        msg = (
            f"{path}: training state is corrupt: its checksum does not agree with its contents. "
            "Start a new run; model.bin beside it holds the weights (--init-from)"
        )
        raise CheckpointError(msg)
    fields: dict[str, Any] = {**arrays, **meta}
    return TrainingState(**fields)


def _parse_header(path: Path, header: bytes) -> tuple[dict[str, Any], dict[str, int]]:
    """The state's numbers, and the size of each array. Not yet protected by the checksum."""
    try:
        parsed = json.loads(header)
        meta = {name: kind(parsed["meta"][name]) for name, kind in _META.items()}
        sizes = [(str(name), int(n)) for name, n in parsed["arrays"]]
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as e:
        msg = f"{path}: training state is corrupt: its header is not understood ({e!r})"
        raise CheckpointError(msg) from e
    n = sizes[0][1] if sizes else 0
    if [name for name, _ in sizes] != list(_ARRAYS) or any(
        size < 0 or (name != "unused_rows" and size != n) for name, size in sizes
    ):
        msg = f"{path}: training state is corrupt: it holds other arrays than {', '.join(_ARRAYS)}: {sizes}"
        raise CheckpointError(msg)
    return meta, dict(sizes)
