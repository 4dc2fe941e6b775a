"""Files of named tensors in the safetensors format.

Little endian:

    0      uint64      H, bytes of the header
    8      JSON        {name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...},
                       optionally "__metadata__": {string: string}; padded with spaces
    8 + H  data        offsets count from here; the tensors cover it without holes or overlaps

Read by hand, because the `safetensors` library cannot give NumPy bfloat16 and needs its header
trusted before sizes are checked. Tests compare with it, both ways.

Source: github.com/huggingface/safetensors, README (format).
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ..errors import CheckpointError
from .json_file import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from .parameters import Float32Array

_LENGTH = struct.Struct("<Q")
_MAX_HEADER = 100_000_000  # as in the library
_ITEM_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}

# What weights can be stored in, by the names people know.
DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies in the file, checked against its length."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    n_bytes: int


class SafetensorsFile:
    """The tensors of a file, mapped into memory and read one by one.

    Attributes:
        path: The file.
        entries: Where each tensor lies.
        metadata: The strings that came with them.
    """

    def __init__(self, path: Path) -> None:
        """Reads and checks the header.

        Raises:
            CheckpointError: Not such a file, truncated, or lying about its contents.
            OSError: It cannot be opened.
        """
        self.path = path
        with path.open("rb") as file:
            n_bytes = file.seek(0, 2)
            file.seek(0)
            self.entries, self.metadata = _read_header(file, path, n_bytes)
        self._bytes: npt.NDArray[np.uint8] = np.memmap(path, np.uint8, mode="r")

    def check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Make sure that a tensor can be read into an array of this shape.

        Raises:
            CheckpointError: It is absent, has another shape, or no type that weights have.
        """
        entry = self.entries.get(name)
        if entry is None:
            msg = f"{self.path}: tensor {name} is missing"
            raise CheckpointError(msg)
        if entry.shape != shape:
            msg = (
                f"{self.path}: {name} must have shape {list(shape)}, got {list(entry.shape)}: "
                "config.json describes another model"
            )
            raise CheckpointError(msg)
        if entry.dtype not in DTYPES.values():
            msg = f"{self.path}: {name} must be F32, F16 or BF16, got {entry.dtype}"
            raise CheckpointError(msg)

    def read(self, name: str, out: Float32Array) -> None:
        """Copies a tensor of floating point numbers into `out`, widened exactly.

        Raises:
            CheckpointError: As `check_shape`, or it is not finite.
        """
        self.check_shape(name, out.shape)
        entry = self.entries[name]
        out[...] = self._floats(entry)
        if not np.isfinite(out).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(out))[0])
            msg = f"{self.path}: weights must be finite, got {name}{list(index)} = {out[index]}"
            raise CheckpointError(msg)

    def _floats(self, entry: Entry) -> npt.NDArray[Any]:
        raw = self._bytes[entry.start : entry.start + entry.n_bytes]
        if entry.dtype == "BF16":  # the upper half of a float32
            wide = raw.view("<u2").astype(np.uint32)
            return np.left_shift(wide, 16).view(np.float32).reshape(entry.shape)
        return raw.view({"F32": "<f4", "F16": "<f2"}[entry.dtype]).reshape(entry.shape)


def write_safetensors(
    file: BinaryIO,
    tensors: Mapping[str, tuple[int, ...]],
    values: Iterable[Float32Array],
    dtype: str,
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Writes tensors one after the other, so that only one is in memory twice.

    Args:
        file: Open for writing.
        tensors: Shapes by name.
        values: The tensors in the same order.
        dtype: A key of `DTYPES`. Values are rounded half to even.
        metadata: Strings to go with them.

    Raises:
        CheckpointError: A value does not fit into `dtype`.
        OSError: As writing does.
    """
    item = _ITEM_BYTES[DTYPES[dtype]]
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **metadata}}
    at = 0
    for name, shape in tensors.items():
        end = at + math.prod(shape) * item
        header[name] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begin at a multiple of 8
    file.write(_LENGTH.pack(len(text)) + text)
    for name, value in zip(tensors, values, strict=True):
        file.write(_encode(name, value, dtype).data.cast("B"))


def _encode(name: str, value: Float32Array, dtype: str) -> npt.NDArray[Any]:
    flat = np.ascontiguousarray(value, "<f4").reshape(-1)
    if dtype == "float32":
        return flat
    if dtype == "float16":
        with np.errstate(over="ignore"):
            narrow = flat.astype("<f2")
        fits = np.isfinite(narrow)
    else:
        # Half to even on the upper 16 bits. The sum stays below 2^32 for all finite numbers.
        bits = flat.view("<u4")
        narrow = ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype("<u2")
        fits = (narrow & 0x7F80) != 0x7F80
    if not fits.all():
        at = int(np.argmin(fits))
        msg = f"{name}: weights must fit into {dtype}, got {flat[at]}; choose --dtype float32"
        raise CheckpointError(msg)
    return narrow


def _read_header(
    file: BinaryIO, path: Path, n_bytes: int
) -> tuple[dict[str, Entry], dict[str, str]]:
    raw = file.read(_LENGTH.size)
    length = _LENGTH.unpack(raw)[0] if len(raw) == _LENGTH.size else 0
    if not 2 <= length <= min(_MAX_HEADER, n_bytes - _LENGTH.size):
        msg = (
            f"{path}: no safetensors file: a header of {length} bytes is announced in a file of "
            f"{n_bytes}"
        )
        raise CheckpointError(msg)
    header = parse_json(file.read(length), f"{path}: header")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        msg = f"{path}: __metadata__ must be an object of strings, got {metadata!r:.80}"
        raise CheckpointError(msg)
    data = _LENGTH.size + length
    entries = {name: _entry(f"{path}: {name}", record, data) for name, record in header.items()}
    at = data
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].n_bytes)):
        if entry.start != at:
            msg = f"{path}: {name} must begin at offset {at - data}, got {entry.start - data}"
            raise CheckpointError(msg)
        at += entry.n_bytes
    if at != n_bytes:
        msg = f"{path}: the header needs a file of {at} bytes, got {n_bytes}"
        raise CheckpointError(msg)
    return entries, metadata


def _entry(where: str, record: object, data: int) -> Entry:
    if not isinstance(record, dict):
        msg = f"{where}: must be a JSON object, got {record!r:.80}"
        raise CheckpointError(msg)
    dtype = record.get("dtype")
    shape, offsets = _sizes(record.get("shape")), _sizes(record.get("data_offsets"))
    if not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
        msg = f"{where}: dtype must be one of {', '.join(_ITEM_BYTES)}, got {dtype!r:.80}"
        raise CheckpointError(msg)
    if shape is None or offsets is None or len(offsets) != 2:
        msg = (
            f"{where}: shape and data_offsets must be lists of sizes, the latter of two, "
            f"got {record.get('shape')!r:.80} and {record.get('data_offsets')!r:.80}"
        )
        raise CheckpointError(msg)
    n_bytes = math.prod(shape) * _ITEM_BYTES[dtype]
    if offsets[1] - offsets[0] != n_bytes:
        msg = f"{where}: {dtype} {shape} needs {n_bytes} bytes, got data_offsets {offsets}"
        raise CheckpointError(msg)
    return Entry(dtype, tuple(shape), data + offsets[0], n_bytes)


def _sizes(value: object) -> list[int] | None:
    """A list of sizes, None if it is something else."""
    if not isinstance(value, list) or len(value) > 64:
        return None
    return value if all(type(item) is int and 0 <= item < 1 << 63 for item in value) else None
