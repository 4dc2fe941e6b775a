"""Training state: everything a run needs to go on as if it had never stopped.

File, little-endian:

    0    8 bytes    "PYANEST1"
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
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ..atomic_file import atomic_write
from ..errors import CheckpointError

_MAGIC = b"PYANEST1"
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


_ARRAYS = ("parameters", "m", "v")
_META: dict[str, type] = {
    "step": int,
    "skipped": int,
    "loss_scale": float,
    "good_steps": int,
    "data_hash": str,
    "config": dict,
    "model": dict,
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
    # The sizes in the header are believed only as far as the file's length bears them out.
    n_floats = n_bytes - _PREFIX.size - n_header - _DIGEST_BYTES
    if n_floats < 0 or n_floats % (4 * len(_ARRAYS)):
        msg = f"{path}: training state is truncated: {n_bytes} bytes"
        raise CheckpointError(msg)
    arrays = [np.empty(n_floats // 4 // len(_ARRAYS), "<f4") for _ in _ARRAYS]
    for array in arrays:
        view = array.data.cast("B")
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
    return _from_parts(path, header, dict(zip(_ARRAYS, arrays, strict=True)))


def _from_parts(path: Path, header: bytes, arrays: dict[str, Any]) -> TrainingState:
    try:
        parsed = json.loads(header)
        meta = {name: kind(parsed["meta"][name]) for name, kind in _META.items()}
        sizes = [tuple(a) for a in parsed["arrays"]]
    except (ValueError, KeyError, TypeError) as e:
        msg = f"{path}: training state has a header that is not understood ({e!r})"
        raise CheckpointError(msg) from e
    if sizes != [(name, a.size) for name, a in arrays.items()]:
        msg = f"{path}: training state holds other arrays than {', '.join(_ARRAYS)}: {sizes}"
        raise CheckpointError(msg)
    return TrainingState(**arrays, **meta)
