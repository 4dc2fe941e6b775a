"""What Core ML's files tell apps of inputs and outputs, in words."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from .files import read_file, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE = "metadata.json"
_MAX_BYTES = 1 << 24


def image_note(name: str, shape: Sequence[object], colors: str) -> str:
    """How to give an input that apps give as an image."""
    dims = ", ".join(map(str, shape))
    return (
        f"input '{name}' is an image to Core ML ({colors or 'unknown colors'}): give [{dims}] with "
        "the channels in that order and values from 0 to 255; scale and bias are in the program"
    )


def image_output_note(name: str) -> str:
    """Of an output that apps get as an image."""
    return f"output '{name}' is an image to Core ML: here it is a tensor"


def optional_note(name: str) -> str:
    """Of an input that apps may leave out."""
    return f"input '{name}' is optional to Core ML; give it here"


def compiled_notes(folder: Path, *, allow_links: bool) -> tuple[str, ...]:
    """Notes from the metadata.json that Apple's compiler puts beside model.mil.

    Nothing depends on the file: where it is missing or of another form, there are no notes.

    Raises:
        ModelError: It is a link that leads out of the folder, or no regular file.
    """
    try:
        path = resolve(folder, PurePosixPath(_FILE), allow_links=allow_links)
        (content,) = json.loads(read_file(path, _MAX_BYTES))
        notes = [*_input_notes(content["inputSchema"]), *_output_notes(content["outputSchema"])]
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()
    return tuple(notes)


def _input_notes(schema: list[dict[str, Any]]) -> list[str]:
    notes = []
    for entry in schema:
        name = str(entry["name"])
        if entry["type"] == "Image":
            channels = 1 if str(entry["colorspace"]).startswith("Gray") else 3
            shape = (1, channels, str(entry["height"]), str(entry["width"]))
            notes.append(image_note(name, shape, str(entry["colorspace"])))
        if entry.get("isOptional") == "1":
            notes.append(optional_note(name))
    return notes


def _output_notes(schema: list[dict[str, Any]]) -> list[str]:
    return [image_output_note(str(entry["name"])) for entry in schema if entry["type"] == "Image"]
