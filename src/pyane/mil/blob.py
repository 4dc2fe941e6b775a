"""Weight files: what `BLOBFILE(path = ..., offset = ...)` in MIL text refers to.

The layout is in docs/mil_text.md. Arrays of bf16 and fp8, which NumPy lacks, are their bits in
uint16 and uint8; integers narrower than a byte take a byte each in arrays and are packed in files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import mil as _mil
from .._core.mil import BlobRecord, BlobWriter
from ..atomic_file import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    from typing_extensions import Buffer

    Tensor = npt.NDArray[Any] | tuple[npt.NDArray[Any], str]

__all__ = ["BlobRecord", "BlobWriter", "list_blobs", "pack_blobs", "read_blob", "write_blob_file"]


def _open(file: Buffer | str | os.PathLike[str]) -> tuple[Buffer, str]:
    if not isinstance(file, str | os.PathLike):
        return file, "<blob>"
    path = Path(file)
    # An empty file cannot be mapped; the reader then says what is wrong with it.
    if path.stat().st_size == 0:
        return b"", str(path)
    return np.memmap(path, mode="r").data, str(path)


def read_blob(
    file: Buffer | str | os.PathLike[str],
    offset: int,
    dtype: str,
    shape: Sequence[int],
    *,
    strict: bool = False,
) -> npt.NDArray[Any]:
    """Reads one tensor from a weight file.

    Args:
        file: The file's bytes, or its path, which is then mapped.
        offset: Of the tensor's metadata record, as in the text.
        dtype: MIL element type, e.g. "fp16" or "uint4".
        shape: Dimensions.
        strict: Take only files that follow the official layout in every field. Otherwise a wrong
            count, size, data offset, padding or alignment is a `BlobWarning`.

    Returns:
        A read-only view of the file; a copy only for integers narrower than a byte.

    Raises:
        BlobError: The record is not there, is of another dtype, or its data end beyond the file.
        OSError: The file cannot be read.
    """
    data, path = _open(file)
    return _mil.read_blob(data, offset, dtype, shape, strict, path)


def list_blobs(file: Buffer | str | os.PathLike[str]) -> list[BlobRecord]:
    """Every record of a weight file that follows the official layout, in order.

    Raises:
        BlobError: The first field that does not.
        OSError: The file cannot be read.
    """
    data, path = _open(file)
    return _mil.list_blobs(data, path)


def pack_blobs(tensors: Iterable[Tensor]) -> tuple[npt.NDArray[np.uint8], list[int]]:
    """Builds a weight file in memory.

    Args:
        tensors: Arrays, or pairs of array and MIL element type where the array does not tell
            ("uint4", "bf16", ...).

    Returns:
        The file's bytes, read-only, and the offset of each tensor to write in the text.

    Raises:
        ShapeError: An array whose dtype or values do not fit its element type.
        BlobError: An element type that weight files do not have.
    """
    writer = BlobWriter()
    offsets = [
        writer.add(*tensor) if isinstance(tensor, tuple) else writer.add(tensor)
        for tensor in tensors
    ]
    return writer.finish(), offsets


def write_blob_file(path: str | os.PathLike[str], tensors: Iterable[Tensor]) -> list[int]:
    """Writes a weight file, whole or not at all; arguments and errors as in `pack_blobs`.

    Returns:
        The offset of each tensor.
    """
    data, offsets = pack_blobs(tensors)
    with atomic_write(path) as file:
        file.write(data.data)
    return offsets
