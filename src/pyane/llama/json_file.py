"""Reading JSON objects that others wrote."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 16 << 20


def parse_json(raw: bytes, where: str) -> dict[str, Any]:
    """A JSON object, without the same key twice.

    Raises:
        CheckpointError: It is none.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            msg = f"{where}: '{twice:.80}' is there twice"
            raise CheckpointError(msg)
        return found

    try:
        value = json.loads(raw, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        msg = f"{where}: must be JSON ({error})"
        raise CheckpointError(msg) from error
    if not isinstance(value, dict):
        msg = f"{where}: must be a JSON object, got {type(value).__name__}"
        raise CheckpointError(msg)
    return value


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        CheckpointError: It is none, or absurdly large.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        raw = file.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        msg = f"{path}: must have at most {_MAX_BYTES} bytes"
        raise CheckpointError(msg)
    return parse_json(raw, str(path))
