"""MIL programs: text, parts, weight files."""

from __future__ import annotations

from .._core.mil import (
    BlobReference,
    Block,
    Function,
    Literal,
    Operation,
    Type,
    Value,
)
from ._program import Program, parse
from .blob import BlobRecord, BlobWriter, list_blobs, pack_blobs, read_blob, write_blob_file

__all__ = [
    "BlobRecord",
    "BlobReference",
    "BlobWriter",
    "Block",
    "Function",
    "Literal",
    "Operation",
    "Program",
    "Type",
    "Value",
    "list_blobs",
    "pack_blobs",
    "parse",
    "read_blob",
    "write_blob_file",
]
