"""Core ML's own files: .mlpackage folders and .mlmodel protobufs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .._core import mil as _mil
from ..errors import ModelError
from ..mil import Program
from .files import map_file, read_file, relative_path, resolve
from .metadata import image_note, image_output_note, optional_note

_MANIFEST = "Manifest.json"
_MANIFEST_BYTES = 1 << 20
_HOW_TO_CONVERT = (
    'convert the original again as an ML program (coremltools.convert(..., convert_to="mlprogram"))'
)


@dataclass(frozen=True)
class Package:
    """What is in a package.

    Attributes:
        program: Its program, parsed from the text that the protobuf stands for.
        root: The folder that `@model_path` means.
        default_function: Function to take when none is asked for; None: the package does not say.
        notes: What a user should know of the inputs.
    """

    program: Program
    root: Path
    default_function: str | None
    notes: tuple[str, ...]


def model_file(package: Path, *, allow_links: bool) -> Path:
    """The .mlmodel of an .mlpackage, as its manifest tells.

    Raises:
        ModelError: No manifest, one that is broken, or a path that leads out of the package.
    """
    if not package.is_dir():
        msg = f"{package}: an .mlpackage must be a folder with {_MANIFEST}, got a file"
        raise ModelError(msg)
    manifest = package / _MANIFEST
    try:
        real = resolve(package, PurePosixPath(_MANIFEST), allow_links=allow_links)
        content = json.loads(read_file(real, _MANIFEST_BYTES))
        identifier = content["rootModelIdentifier"]
        entry = content["itemInfoEntries"][identifier]["path"]
        if not isinstance(entry, str):
            raise TypeError(entry)
    except FileNotFoundError:
        msg = f"{package}: needs {_MANIFEST}, which is not there"
        raise ModelError(msg) from None
    except (ValueError, RecursionError) as e:
        if isinstance(e, ModelError):
            raise
        msg = f"{manifest}: must be JSON: {e}"
        raise ModelError(msg) from None
    except (KeyError, TypeError) as e:
        msg = f"{manifest}: must name the model in rootModelIdentifier and itemInfoEntries: {e!r}"
        raise ModelError(msg) from None
    relative = relative_path(entry, str(manifest))
    try:
        return resolve(package / "Data", relative, allow_links=allow_links)
    except FileNotFoundError:
        msg = f"{manifest}: names {entry}, but there is no {package / 'Data' / relative}"
        raise ModelError(msg) from None


def read_package(path: Path, *, allow_links: bool) -> Package:
    """Reads an .mlpackage, or an .mlmodel by itself.

    Raises:
        ModelError: Another kind of model, or a file that is not what it should be.
    """
    is_package = path.suffix.lower() == ".mlpackage"
    file = model_file(path, allow_links=allow_links) if is_package else path
    spec = _mil.read_model_spec(map_file(file), str(path))
    if spec.kind != "mlProgram":
        raise ModelError(_refusal(path, spec.kind))
    # Through text, as everything else: what is compiled is what is shown.
    program = Program.parse(str(spec.program), str(path))
    return Package(program, file.parent, spec.default_function or None, tuple(_notes(spec)))


def _refusal(path: Path, kind: str) -> str:
    if not kind:
        return f"{path}: holds no model; is it a Core ML model?"
    if kind.startswith("neuralNetwork"):
        return (
            f"{path}: a {kind} (the form before ML programs), which has no MIL; {_HOW_TO_CONVERT}"
        )
    if kind.startswith("pipeline"):
        return f"{path}: a {kind} of several models; save the ML program in it by itself"
    return f"{path}: must be an mlProgram, got a {kind}, which has no MIL"


def _notes(spec: _mil.ModelSpec) -> list[str]:
    """Inputs and outputs that apps see otherwise than the program does."""
    notes: list[str] = []
    for interface in spec.interfaces:
        found: list[str] = []
        for feature in interface.inputs:
            if feature.kind == "image":
                found.append(image_note(feature.name, feature.shape, feature.color_space))
            if feature.is_optional:
                found.append(optional_note(feature.name))
        found.extend(image_output_note(f.name) for f in interface.outputs if f.kind == "image")
        where = f"{interface.function}: " if interface.function else ""
        notes.extend(where + note for note in found)
    return notes
