"""Token files, and the description beside them.

A token file holds nothing but tokens, little-endian: uint16, as llama2.c's pretokenised files, or uint32
for vocabularies of more than 65536. `pyane data prepare` puts a description beside `tokens.bin`,
`tokens.bin.json`:

    format      "pyane tokens"
    version     1
    dtype       "uint16" or "uint32"
    n_tokens    tokens in the file
    vocab_size  of the tokenizer
    sha256      of the file
    tokenizer   {file, sha256}
    sources     [{file, n_bytes, sha256}, ...], the texts in their order

Files without a description are uint16.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .files import check_readable, read_bytes

FORMAT = "pyane tokens"
VERSION = 1
DTYPES = {"uint16": "<u2", "uint32": "<u4"}
_MAX_DESCRIPTION = 1 << 24
_BLOCK = 1 << 22

TokenArray = npt.NDArray[Any]  # uint16, uint32 or int32


def description_path(path: Path) -> Path:
    """Where the description of a token file is."""
    return path.with_name(path.name + ".json")


def token_dtype(vocab_size: int) -> str:
    """The type a vocabulary needs, a key of `DTYPES`."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


def open_token_file(path: Path, vocab_size: int, tokenizer_sha256: str | None = None) -> TokenArray:
    """Map a token file into memory, after reading it through once.

    Args:
        path: The file.
        vocab_size: Of the model that is to see the tokens.
        tokenizer_sha256: Hash of the tokenizer's file that goes with them, if it is known.

    Raises:
        DataError: Missing, empty, of a size that is no number of tokens, a token outside
            [0, vocab_size) (first position), or a description that belongs to other tokens.
    """
    size = check_readable(path, "token file")
    if size == 0:
        msg = f"{path}: token file is empty"
        raise DataError(msg)
    description = _read_description(path)
    dtype = np.dtype(DTYPES[description["dtype"] if description else "uint16"])
    if size % dtype.itemsize:
        msg = f"{path}: token file must hold {dtype.itemsize} bytes per token, got {size} bytes"
        raise DataError(msg)
    try:
        tokens: TokenArray = np.memmap(path, dtype=dtype, mode="r")
    except OSError as e:
        msg = f"{path}: token file cannot be read ({e.strerror})"
        raise DataError(msg) from e
    if description:
        _check_description(path, description, tokens, tokenizer_sha256)
    for start in range(0, len(tokens), _BLOCK):
        bad = np.flatnonzero(tokens[start : start + _BLOCK] >= vocab_size)
        if len(bad):
            at = start + int(bad[0])
            msg = (
                f"{path}: token {tokens[at]} at position {at} is outside [0, {vocab_size}): "
                "the file was made with a larger vocabulary; choose another --preset or --tokenizer"
            )
            raise DataError(msg)
    return tokens


def _read_description(path: Path) -> dict[str, Any] | None:
    beside = description_path(path)
    if not beside.exists():
        return None
    raw = read_bytes(beside, "description of a token file", _MAX_DESCRIPTION)
    try:
        values = json.loads(raw)
        known = values["format"] == FORMAT and values["version"] == VERSION
        known = known and values["dtype"] in DTYPES
        known = known and all(type(values[key]) is int for key in ("n_tokens", "vocab_size"))
        known = known and isinstance(values["tokenizer"]["sha256"], str)
        known = known and isinstance(values["sha256"], str)
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        msg = f"{beside}: not a description of a token file ({type(e).__name__}: {e})"
        raise DataError(msg) from e
    if not known:
        msg = f"{beside}: not a description of a token file of version {VERSION}"
        raise DataError(msg)
    description: dict[str, Any] = values
    return description


def _check_description(
    path: Path, description: dict[str, Any], tokens: TokenArray, tokenizer_sha256: str | None
) -> None:
    beside, n, of_tokenizer = (
        description_path(path),
        description["n_tokens"],
        description["tokenizer"]["sha256"],
    )
    if n != len(tokens):
        msg = f"{path}: must hold {n} tokens, as {beside.name} says, got {len(tokens)}"
        raise DataError(msg)
    digest = hashlib.sha256()
    for start in range(0, len(tokens), _BLOCK):
        digest.update(tokens[start : start + _BLOCK].data)
    if digest.hexdigest() != description["sha256"]:
        msg = (
            f"{path}: the tokens are not those that {beside.name} describes (SHA-256 "
            f"{digest.hexdigest()[:12]}, there {description['sha256'][:12]}); prepare them again"
        )
        raise DataError(msg)
    if tokenizer_sha256 not in (None, of_tokenizer):
        msg = (
            f"{path}: the tokens were made with another tokenizer (SHA-256 {of_tokenizer[:12]}, this "
            f"one has {str(tokenizer_sha256)[:12]}); name that one with --tokenizer"
        )
        raise DataError(msg)
