"""MIL programs: text, parts, weight files, and a builder with a function for every operation."""

from __future__ import annotations

from .._core.mil import (
    BlobReference,
    Block,
    Function,
    InputSpec,
    Literal,
    Operation,
    OpRecord,
    Type,
    Value,
    op_set,
)
from ._program import Program, parse, verify
from .blob import BlobRecord, BlobWriter, list_blobs, pack_blobs, read_blob, write_blob_file
from .builder import build, const, program
from .ops import *
from .ops import __all__ as _op_names
from .types import (
    ElementType,
    TensorSpec,
    bool_,
    fp16,
    fp32,
    int8,
    int16,
    int32,
    state,
    uint8,
    uint16,
)
from .var import Var

__all__ = [  # noqa: PLE0604  # The names of ops.py are strings, too.
    *_op_names,
    "BlobRecord",
    "BlobReference",
    "BlobWriter",
    "Block",
    "ElementType",
    "Function",
    "InputSpec",
    "Literal",
    "OpRecord",
    "Operation",
    "Program",
    "TensorSpec",
    "Type",
    "Value",
    "Var",
    "bool_",
    "build",
    "const",
    "fp16",
    "fp32",
    "int8",
    "int16",
    "int32",
    "list_blobs",
    "op_set",
    "pack_blobs",
    "parse",
    "program",
    "read_blob",
    "state",
    "uint8",
    "uint16",
    "verify",
    "write_blob_file",
]
