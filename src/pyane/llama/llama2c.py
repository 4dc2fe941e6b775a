"""Checkpoints in the formats of karpathy/llama2.c: versions 0 and 1 are read, 0 is written.

Version 0 ("legacy"), little endian, no padding, no magic number:

    0     7 x int32     dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len
                        vocab_size < 0: the classifier is not tied, and follows at the end
    28    fp32 ...      the weights of `Config.parameter_shapes`, in that order, without wcls
    ...   fp32 ...      freq_cis_real, freq_cis_imag: [seq_len, head_dim / 2] each; unused today
    ...   fp32 ...      wcls [vocab_size, dim], if not tied

Version 1, the same with a magic number, all norms first, and no tables:

    0     uint32        0x616b3432 ("ak42")
    4     int32         1
    8     7 x int32     as above, but vocab_size is always positive
    36    uint8         1: the classifier is tied
    37    zeros         up to 256
    256   fp32 ...      rms_att_weight, rms_ffn_weight, rms_final_weight, token_embedding_table, wq, wk,
                        wv, wo, w1, w2, w3, and wcls if not tied

Source: karpathy/llama2.c export.py (legacy_export, version1_export), run.c (read_checkpoint).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..atomic_file import atomic_write
from ..errors import CheckpointError, ConfigError, ShapeError
from .config import Config
from .parameters import Float32Array, Parameters

_HEADER = struct.Struct("<7i")
_FIELDS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")
# First word of llama2.c's later formats, "ak42".
_VERSIONED_MAGIC = 0x616B3432
_HEADER_1 = struct.Struct("<Ii7iB")
_DATA_1 = 256
_ORDER_1 = (
    *("rms_att_weight", "rms_ffn_weight", "rms_final_weight", "token_embedding_table"),
    *("wq", "wk", "wv", "wo", "w1", "w2", "w3", "wcls"),
)


def read_llama2c(path: str | os.PathLike[str]) -> tuple[Config, Parameters]:
    """Reads a llama2.c `.bin` checkpoint.

    Everything is checked before memory is taken: a header that lies about the sizes cannot make
    this allocate more than the file's own size.

    Args:
        path: The file. Its format has no place for `norm_eps` and `rope_theta`: they get the
            defaults, which are llama2.c's.

    Raises:
        CheckpointError: Not such a file: sizes that do not fit together or to the file's length,
            or weights that are not finite. Names the field or weight, its value, what it should be.
        OSError: The file cannot be opened.
    """
    path = Path(path)
    with path.open("rb") as file:
        n_bytes = os.fstat(file.fileno()).st_size
        config, version = _read_header(file, path, n_bytes)
        weights = 4 * config.n_parameters
        tables = 4 * 2 * config.seq_len * (config.head_dim // 2)
        expected = _DATA_1 + weights if version == 1 else _HEADER.size + weights + tables
        if n_bytes != expected:
            sizes = ", ".join(f"{name} {getattr(config, name)}" for name in _FIELDS)
            kind = "tied" if config.tied_classifier else "untied"
            msg = (
                f"{path}: the header ({sizes}, {kind} classifier) needs a file of {expected} "
                f"bytes, got {n_bytes}"
            )
            raise CheckpointError(msg)
        parameters = Parameters(config)
        for name in _ORDER_1 if version == 1 else parameters:
            if name == "wcls" and version == 0:
                file.seek(tables, os.SEEK_CUR)
            if name in parameters:
                _read_into(file, path, name, parameters[name])
    return config, parameters


def write_llama2c(path: str | os.PathLike[str], config: Config, parameters: Parameters) -> None:
    """Writes a llama2.c `.bin` checkpoint, replacing `path` whole or not at all.

    Reading it back gives the same weights bit for bit.

    Raises:
        ShapeError: `parameters` belong to another config.
        CheckpointError: `config` has a `norm_eps` or `rope_theta` that the format cannot keep, or
            the file could not be written (disk full, no permission); the old file is untouched.
    """
    path = Path(path)
    if parameters.config.parameter_shapes != config.parameter_shapes:
        msg = f"write_llama2c: parameters must be of {config}, got those of {parameters.config}"
        raise ShapeError(msg)
    problem = what_llama2c_lacks(config)
    if problem:
        msg = f"{path}: {problem}; write a Hugging Face folder instead (a name without .bin)"
        raise CheckpointError(msg)
    vocab_size = config.vocab_size if config.tied_classifier else -config.vocab_size
    header = [getattr(config, name) for name in _FIELDS]
    header[_FIELDS.index("vocab_size")] = vocab_size
    try:
        with atomic_write(path) as file:
            file.write(_HEADER.pack(*header))
            for name, view in parameters.items():
                if name == "wcls":
                    continue
                file.write(_little_endian(view))
            for table in rope_tables(config.seq_len, config.head_dim, config.rope_theta):
                file.write(_little_endian(table))
            if not config.tied_classifier:
                file.write(_little_endian(parameters["wcls"]))
    except OSError as error:
        msg = f"{path}: could not be written: {error.strerror or error}"
        raise CheckpointError(msg) from error


def what_llama2c_lacks(config: Config) -> str:
    """Why the format cannot hold the model; empty if it can."""
    for name, default in (("norm_eps", 1e-5), ("rope_theta", 10000.0)):
        if getattr(config, name) != default:
            return (
                f"llama2.c's format has no field for {name}, which must be {default}, got "
                f"{getattr(config, name)}"
            )
    if config.qk_norm or config.head_dim * config.n_heads != config.dim:
        return "llama2.c's format has no field for qk_norm, nor for a head_dim other than dim / n_heads"
    return ""


def rope_tables(n_positions: int, head_dim: int, theta: float) -> tuple[Float32Array, Float32Array]:
    """Rotary cos and sin: of position * theta^(-2i / head_dim), [n_positions, head_dim / 2] each.

    Angles are rounded to fp32 as llama2.c's are; its tables differ in the last bit here and there.
    """
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequencies = np.float32(1.0) / np.float32(theta) ** exponents
    angles = np.outer(np.arange(n_positions, dtype=np.float32), frequencies).astype(np.float64)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _read_header(file: BinaryIO, path: Path, n_bytes: int) -> tuple[Config, int]:
    """Sizes, and the format's version; leaves the file where the weights begin."""
    raw = file.read(_HEADER.size)
    if len(raw) < _HEADER.size:
        msg = f"{path}: the header needs {_HEADER.size} bytes, but the file has {n_bytes}"
        raise CheckpointError(msg)
    sizes: tuple[int, ...] = _HEADER.unpack(raw)
    version = 0
    if sizes[0] == _VERSIONED_MAGIC:
        version, sizes, tied = _read_header_1(file, path, n_bytes, sizes[1])
    else:
        tied = sizes[5] > 0
        sizes = (*sizes[:5], abs(sizes[5]), sizes[6])
    try:
        fields: dict[str, Any] = dict(zip(_FIELDS, sizes, strict=True))
        config = Config(**fields, tied_classifier=tied)
    except ConfigError as error:
        msg = f"{path}: no llama2.c checkpoint: {error}"
        raise CheckpointError(msg) from error
    return config, version


def _read_header_1(
    file: BinaryIO, path: Path, n_bytes: int, version: int
) -> tuple[int, tuple[int, ...], bool]:
    if version != 1:
        msg = (
            f"{path}: this is llama2.c's format version {version}; versions 0 and 1 are read. "
            "Write it with llama2.c's `export.py --version 0`"
        )
        raise CheckpointError(msg)
    file.seek(0)
    raw = file.read(_DATA_1)
    if len(raw) < _DATA_1:
        msg = f"{path}: the header needs {_DATA_1} bytes, but the file has {n_bytes}"
        raise CheckpointError(msg)
    _, _, *sizes, tied = _HEADER_1.unpack_from(raw)
    if tied > 1 or any(raw[_HEADER_1.size :]):
        msg = (
            f"{path}: bytes 36 to {_DATA_1} must be 0 or 1 (classifier shared), then zeros, "
            f"got {tied} and {'other bytes' if any(raw[_HEADER_1.size :]) else 'zeros'}"
        )
        raise CheckpointError(msg)
    return 1, tuple(sizes), bool(tied)


def _read_into(file: BinaryIO, path: Path, name: str, view: Float32Array) -> None:
    data = view.reshape(-1).data.cast("B")
    if file.readinto(data) != len(data):  # type: ignore[attr-defined]
        msg = f"{path}: the file ended while {name} was read: it is being changed"
        raise CheckpointError(msg)
    if not np.little_endian:
        view.byteswap(inplace=True)
    if not np.isfinite(view).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(view))[0])
        msg = f"{path}: weights must be finite, got {name}{list(index)} = {view[index]}"
        raise CheckpointError(msg)


def _little_endian(values: Float32Array) -> memoryview:
    return np.ascontiguousarray(values, dtype="<f4").data
